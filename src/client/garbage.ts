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
  /** Whether the timer's next task is to collect; otherwise it is to cool. */
  #collectNext = false

  constructor(forgetful: Forgetful) {
    this.#forgetful = forgetful
  }

  /** Collects for tasks that wait for memory, unless that was done just now; returns the milliseconds until it may be done again. */
  relieve(): number {
    const rest = this.#collect(REST_WHEN_STARVED)
    return Math.max(1, rest > 0 ? rest : this.#lastDuration * REST_WHEN_STARVED)
  }

  /** Says that nothing is pending any more. One timer serves all quiet times; after the last it is gone. */
  idle(now: number): void {
    this.#lastActive = now
    if (this.#collectNext && this.#timer !== undefined) return
    this.#collectNext = true
    clearTimeout(this.#timer)
    this.#timer = this.#in(COLLECT_AFTER, this.#onQuiet)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  readonly #onQuiet = (): void => {
    const quiet = performance.now() - this.#lastActive
    let next = (this.#collectNext ? COLLECT_AFTER : COOL_AFTER) - quiet
    if (next <= 1 && this.#collectNext) {
      const rest = this.#forgetful.heldBlocks() > 0 ? this.#collect(REST_WHEN_IDLE) : 0
      this.#collectNext = rest > 0
      next = rest > 0 ? rest : COOL_AFTER - quiet
    } else if (next <= 1) {
      this.#forgetful.cool()
      this.#timer = undefined
      return
    }
    this.#timer = this.#in(next, this.#onQuiet)
  }

  /** Collects, unless the last collection is too recent: then the milliseconds until it may be done again. */
  #collect(restFactor: number): number {
    const begin = performance.now()
    const rest = this.#lastCollection + this.#lastDuration * restFactor - begin
    if (rest > 0) return rest
    collect ??= bindCollector()
    collect()
    this.#lastCollection = performance.now()
    this.#lastDuration = this.#lastCollection - begin
    return 0
  }

  #in(delay: number, action: () => void): NodeJS.Timeout {
    return setTimeout(action, Math.max(1, delay)).unref()
  }
}
