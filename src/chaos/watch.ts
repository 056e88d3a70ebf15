import type { BaseTask, Flow, FlowStats } from '../index.ts'
import type { Ledger } from './ledger.ts'

/** Milliseconds between two looks. */
const EVERY = 100

/**
 * Looks at a flow ten times a second for as long as a storm lasts: do its books balance with the callers', and does
 * anything still move?
 */
export class Watch implements Disposable {
  readonly #ledger: Ledger
  readonly #flow: Flow<BaseTask>
  readonly #grace: number
  readonly #onLook: (stats: FlowStats) => void
  readonly #timer: NodeJS.Timeout
  readonly #onStall = new Set<() => void>()

  /** @param grace - milliseconds without an outcome after which nothing is expected any more. */
  constructor(
    flow: Flow<BaseTask>,
    ledger: Ledger,
    grace: number,
    onLook: (stats: FlowStats) => void,
  ) {
    this.#flow = flow
    this.#ledger = ledger
    this.#grace = grace
    this.#onLook = onLook
    this.#timer = setInterval(() => this.#look(), EVERY)
  }

  /** Resolves with what `work` resolves with; with undefined when it comes to nothing, since no task is settled any more. */
  async finish<Value>(work: Promise<Value>): Promise<Value | undefined> {
    const { promise: stalled, resolve } = Promise.withResolvers<undefined>()
    const giveUp = (): void => resolve(undefined)
    this.#onStall.add(giveUp)
    try {
      return await Promise.race([work, stalled])
    } finally {
      this.#onStall.delete(giveUp)
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  // A timer has a turn of the event loop of its own: every caller has been told by now what the flow has booked.
  #look(): void {
    const stats = this.#flow.stats()
    this.#ledger.compare(stats.tasks)
    this.#onLook(stats)
    const { pending, lastChangeAt } = this.#ledger
    if (pending === 0 || performance.now() - lastChangeAt < this.#grace) return
    for (const giveUp of this.#onStall) giveUp()
  }
}
