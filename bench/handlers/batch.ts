import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'
import { runModel } from '../harness/batch-model.ts'

export class BatchTask extends BaseTask {
  readonly number: number
  sum?: number
  constructor(number: number) {
    super()
    this.number = number
  }
}

/** A model with a fixed cost per call and one per item. */
export class BatchHandler extends BaseTaskHandler<BatchTask> {
  static readonly url = import.meta.url
  static readonly task = BatchTask

  handle(tasks: readonly BatchTask[]): void {
    const sums = runModel(tasks.map(({ number }) => number))
    tasks.forEach((task, index) => (task.sum = sums[index]!))
  }
}
