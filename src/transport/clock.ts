/**
 * The one clock of a flow: CLOCK_MONOTONIC, in milliseconds since the flow's birth, the same in all its processes.
 * A flow under test has its clock in shared memory instead, where the test alone moves it.
 */
export interface Clock {
  /** Milliseconds since the flow's birth. */
  now(): number
}

/** CLOCK_MONOTONIC in milliseconds, as every process of the machine sees it. */
export function monotonic(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e3 + nanoseconds / 1e6
}

export class MonotonicClock implements Clock {
  readonly #offset: number

  constructor(birth: number) {
    // performance.now() is the same clock, counted from the start of this thread, and cheaper to read.
    this.#offset = monotonic() - performance.now() - birth
  }

  now(): number {
    return performance.now() + this.#offset
  }
}

export class ManualClock implements Clock {
  readonly #word: Float64Array
  readonly #index: number

  constructor(word: Float64Array, index: number) {
    this.#word = word
    this.#index = index
  }

  now(): number {
    return this.#word[this.#index]!
  }

  set(now: number): void {
    this.#word[this.#index] = now
  }
}
