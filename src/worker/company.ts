/**
 * The loops of a worker that may have several batches in its hands. One of them can ask to be the only one for a batch,
 * so that a death of the worker tells of that batch alone.
 */
export class Company {
  /** Loops that gather or have a batch. */
  #present = 0
  #isOneAlone = false
  readonly #wantSolitude: (() => void)[] = []
  #waiting: (() => void)[] = []

  /** Whether a loop gathers, or has a batch. */
  get isPresent(): boolean {
    return this.#present > 0
  }

  /** Before a loop gathers. Returns a promise when somebody is, or wants to be, alone. */
  join(): Promise<void> | undefined {
    if (!this.#isOneAlone && this.#wantSolitude.length === 0) {
      this.#present++
      return undefined
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
    })
  }

  /** A loop that has joined waits until it is the only one. */
  beAlone(): Promise<void> {
    const alone = new Promise<void>((resolve) => {
      this.#wantSolitude.push(resolve)
    })
    this.leave()
    return alone
  }

  /** The loop has finished its batch, or found none. */
  leave(): void {
    this.#present--
    this.#isOneAlone = false
    if (this.#present > 0) return
    const next = this.#wantSolitude.shift()
    if (next !== undefined) {
      this.#present = 1
      this.#isOneAlone = true
      next()
      return
    }
    const waiting = this.#waiting
    this.#waiting = []
    this.#present = waiting.length
    for (const join of waiting) join()
  }
}
