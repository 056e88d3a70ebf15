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

const SAMPLES = 32

/**
 * What to add to `performance.now()`, which is the same clock counted from the start of this thread and cheaper to read.
 * The first readings are late by milliseconds while code is being loaded: the closest pair of readings counts.
 */
function offsetOfPerformance(): number {
  let offset = 0
  let closest = Infinity
  for (let sample = 0; sample < SAMPLES; sample++) {
    const before = performance.now()
    const now = monotonic()
    const after = performance.now()
    if (after - before >= closest) continue
    closest = after - before
    offset = now - (before + after) / 2
  }
  return offset
}

/** The global is a getter, which costs a third of a reading. */
const sinceStart = performance.now.bind(performance)

export class MonotonicClock implements Clock {
  readonly #offset: number

  constructor(birth: number) {
    this.#offset = offsetOfPerformance() - birth
  }

  now(): number {
    return sinceStart() + this.#offset
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
