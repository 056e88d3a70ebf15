import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'

/** A task with a payload in shared memory, of which the handler reads one byte. */
export class PageTask extends BaseTask {
  readonly number: number
  readonly bytes: Uint8Array
  sum?: number
  constructor(number: number, bytes: Uint8Array) {
    super()
    this.number = number
    this.bytes = bytes
  }
}

export class PageHandler extends BaseTaskHandler<PageTask> {
  static readonly url = import.meta.url
  static readonly task = PageTask
  handle(tasks: readonly PageTask[]): void {
    for (const task of tasks) task.sum = task.number + task.bytes[0]!
  }
}
