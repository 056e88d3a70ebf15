import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'

/** Stands for a model: sums the squares below a number, and takes 100 ms of processor time for it. */
class SumModel {
  process(number: number): number {
    let sum = 0
    for (let i = 0; i < number; i++) sum += i * i
    const until = performance.now() + 100
    while (performance.now() < until);
    return sum
  }
}

export class SumTask extends BaseTask {
  readonly number: number
  /** The result will be here. */
  sum?: number

  constructor(number: number) {
    super()
    this.number = number
  }
}

export class SumHandler extends BaseTaskHandler<SumTask> {
  static readonly url = import.meta.url
  static readonly task = SumTask
  #model!: SumModel

  // Runs in the worker: the parent never loads the model.
  override onStart(): void {
    this.#model = new SumModel()
  }

  // Always a batch.
  override handle(tasks: readonly SumTask[]): void {
    for (const task of tasks) task.sum = this.#model.process(task.number)
  }
}
