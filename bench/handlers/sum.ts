import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'

export class SumTask extends BaseTask {
  readonly number: number
  sum?: number
  constructor(number: number) {
    super()
    this.number = number
  }
}

/** As little work as a handler can have: what is left is the way there and back. Each step adds one. */
export class SumHandler extends BaseTaskHandler<SumTask> {
  static readonly url = import.meta.url
  static readonly task = SumTask
  handle(tasks: readonly SumTask[]): void {
    for (const task of tasks) task.sum = (task.sum ?? task.number) + 1
  }
}
