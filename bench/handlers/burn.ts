import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'
import { burn } from '../harness/burn.ts'

export class BurnTask extends BaseTask {
  readonly ms: number
  done?: boolean
  constructor(ms: number) {
    super()
    this.ms = ms
  }
}

/** A model that takes a fixed amount of processor time. */
export class BurnHandler extends BaseTaskHandler<BurnTask> {
  static readonly url = import.meta.url
  static readonly task = BurnTask
  handle(tasks: readonly BurnTask[]): void {
    for (const task of tasks) {
      burn(task.ms)
      task.done = true
    }
  }
}
