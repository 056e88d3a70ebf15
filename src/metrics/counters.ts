import { SUMS } from './layout.ts'

// An actor's sums. Those of a client, its books: they balance at all times, since it alone writes them.
export const ADMITTED = 0
export const COMPLETED = 1
export const TIMED_OUT = 2
export const CANCELLED = 3
export const REJECTED = 4
export const FAILED = 5 // those that a worker has failed, too
// Those of a worker.
export const EXPIRED = 6
export const BATCH_WAIT_MS = 7 // of all tasks, from when they were claimed until the handler had them

/** The sums of an actor in shared memory. */
export class Counters {
  readonly #sums: Float64Array

  /** @param start - index of the first of the actor's words. */
  constructor(words: Int32Array, start: number) {
    this.#sums = new Float64Array(words.buffer, words.byteOffset + start * 4, SUMS)
  }

  add(index: number, amount: number): void {
    this.#sums[index]! += amount
  }

  get(index: number): number {
    return this.#sums[index]!
  }
}
