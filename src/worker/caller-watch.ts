import type { Control } from '../transport/control.ts'
import { BatchSignals } from './batch-signals.ts'
import type { Claim } from './batcher.ts'
import { Callers } from './callers.ts'
import type { Sleeper } from './sleeper.ts'

/** The longest that a timer of Node can wait, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1

/**
 * Fires the signals of a worker's batches, without looking twice. Whoever withdraws a task that runs writes its cancel
 * word, then rings its worker if that worker's bell is armed. A bell that stays armed while a handler runs is what says
 * that somebody listens: it is armed first, then the cancel words are read, so that one of the two sides sees the other.
 * While no handler has asked for a signal nothing is armed, and nobody rings.
 */
export class CallerWatch {
  readonly callers: Callers
  readonly #control: Control
  readonly #sleeper: Sleeper
  readonly #batches = new Set<BatchSignals>()
  /** For deadlines: a client that is stuck does not tell. */
  #timer: NodeJS.Timeout | undefined

  constructor(control: Control, sleeper: Sleeper) {
    this.callers = new Callers(control)
    this.#control = control
    this.#sleeper = sleeper
  }

  /** A handler has asked for a signal. After its end (not `isOpen`) none fires any more. */
  begin(claims: readonly Claim[], isOpen: boolean): BatchSignals {
    const signals = new BatchSignals(this.callers, claims)
    if (isOpen) {
      if (this.#batches.size === 0) this.#sleeper.listen(this.#look)
      this.#batches.add(signals)
      this.#look()
    }
    return signals
  }

  /** The handler has ended. */
  end(signals: BatchSignals): void {
    if (!this.#batches.delete(signals) || this.#batches.size > 0) return
    this.#sleeper.unlisten(this.#look)
    clearTimeout(this.#timer)
  }

  readonly #look = (): void => {
    const { clock, isClockManual } = this.#control
    const now = clock.now()
    for (const signals of this.#batches) signals.look(now)
    if (isClockManual) return
    clearTimeout(this.#timer)
    let next = Infinity
    for (const signals of this.#batches) next = Math.min(next, signals.nextDeadline())
    if (next === Infinity) return
    const wait = Math.min(LONGEST_TIMER, Math.max(0, Math.ceil(next - clock.now())))
    this.#timer = setTimeout(this.#look, wait)
  }
}
