import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

let collect: (() => void) | undefined

function bindCollector(): () => void {
  setFlagsFromString('--expose-gc')
  try {
    return runInNewContext('gc') as () => void
  } finally {
    setFlagsFromString('--no-expose-gc')
  }
}

/** While tasks wait for memory, collections may take a fifth of the time; while nothing is to be done, a hundredth. */
const REST_WHEN_STARVED = 4
const REST_WHEN_IDLE = 99

/** Milliseconds without a task until forgotten results are collected, and until free memory goes back to the system. */
const COLLECT_AFTER = 1_000
const COOL_AFTER = 30_000

export interface Forgetful {
  /** Blocks that the program holds, or has forgotten. */
  readonly heldBlocks: () => number
  /** Gives free blocks back to the system. */
  readonly cool: () => void
}

/**
 * Gets memory back that a program has forgotten rather than released. V8 counts the size of each lease, and so collects
 * by itself while a program goes on; but one that waits for memory does nothing and would wait for ever, and one that
 * has gone quiet would sit on its last results.
 */
export class GarbageRelief {
  readonly #forgetful: Forgetful
  #timer: NodeJS.Timeout | undefined
  #lastCollection = -Infinity
  #lastDuration = 0
  #lastActive = 0

  constructor(forgetful: Forgetful) {
    this.#forgetful = forgetful
  }

  /** Collects for tasks that wait for memory, unless that was done just now; returns the milliseconds until it may be done again. */
  relieve(): number {
    this.#collect(REST_WHEN_STARVED)
    return Math.max(
      1,
      this.#lastCollection + this.#lastDuration * REST_WHEN_STARVED - performance.now(),
    )
  }

  /** Says that nothing is pending any more. One timer serves all quiet times; after the last it is gone. */
  idle(now: number): void {
    this.#lastActive = now
    this.#timer ??= this.#in(COLLECT_AFTER, () => this.#onQuiet())
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #onQuiet(): void {
    const quiet = performance.now() - this.#lastActive
    if (quiet < COLLECT_AFTER) {
      this.#timer = this.#in(COLLECT_AFTER - quiet, () => this.#onQuiet())
      return
    }
    if (this.#forgetful.heldBlocks() > 0) this.#collect(REST_WHEN_IDLE)
    this.#timer = this.#in(COOL_AFTER - quiet, () => {
      this.#timer = undefined
      if (performance.now() - this.#lastActive >= COOL_AFTER - 1) this.#forgetful.cool()
      else this.idle(this.#lastActive)
    })
  }

  #collect(restFactor: number): void {
    const begin = performance.now()
    if (begin < this.#lastCollection + this.#lastDuration * restFactor) return
    collect ??= bindCollector()
    collect()
    this.#lastCollection = performance.now()
    this.#lastDuration = this.#lastCollection - begin
  }

  #in(delay: number, action: () => void): NodeJS.Timeout {
    return setTimeout(action, Math.max(1, delay)).unref()
  }
}
