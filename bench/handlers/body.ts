import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'
import { sumOfPages } from '../harness/bodies.ts'

/** A body that a request brought. */
export class BodyTask extends BaseTask {
  body: Uint8Array | undefined = undefined
  sum?: number
}

/** Reads a byte of each page. */
export class BodyHandler extends BaseTaskHandler<BodyTask> {
  static readonly url = import.meta.url
  static readonly task = BodyTask

  handle(tasks: readonly BodyTask[]): void {
    for (const task of tasks) task.sum = sumOfPages(task.body!)
  }
}
