import { StartError } from '../errors.ts'

/** Workers that are started together: all of them become ready, or the start has failed. */
export class StartTogether<Seat> {
  /** Resolves once every worker is ready; rejects with the first failure, or past the timeout. */
  readonly done: Promise<void>
  readonly #waiting: Set<Seat>
  #resolve: () => void = () => undefined
  #reject: (error: Error) => void = () => undefined

  constructor(seats: readonly Seat[], timeout: number, nameOf: (seat: Seat) => string) {
    this.#waiting = new Set(seats)
    const started = new Promise<void>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    const timer = setTimeout(() => {
      const late = [...new Set([...this.#waiting].map(nameOf))].join(', ')
      this.fail(
        new StartError(
          `not ready within ${timeout} ms: ${late} (an onStart that takes longer needs a larger \`timeout\`)`,
          { code: 'AQ_START_TIMEOUT' },
        ),
      )
    }, timeout)
    this.done = started.finally(() => clearTimeout(timer))
  }

  ready(seat: Seat): void {
    this.#waiting.delete(seat)
    if (this.#waiting.size === 0) this.#resolve()
  }

  fail(error: Error): void {
    this.#reject(error)
  }
}
