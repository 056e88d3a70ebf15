import { setTimeout } from 'node:timers/promises'
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
  readonly #batchMs: number

  /** @param batchMs - how long a batch takes */
  constructor(batchMs = 0) {
    super()
    this.#batchMs = batchMs
  }

  async handle(tasks: readonly PageTask[]): Promise<void> {
    if (this.#batchMs > 0) await setTimeout(this.#batchMs)
    for (const task of tasks) task.sum = task.number + task.bytes[0]!
  }
}
