import type { Control } from '../transport/control.ts'

/** A worker whose handler has a limit. */
export interface Watched {
  readonly actor: number
  /** Milliseconds that `handle` may take. */
  readonly handleTimeout: number
}

/** A timer of Node's that is given more fires at once. */
const LONGEST_TIMER = 2 ** 31 - 1

/**
 * Finds workers that have been in `handle` for longer than they may. Its timer runs only while one of them is busy: the
 * first that becomes busy rings.
 */
export class HangWatch<Worker extends Watched> {
  readonly #control: Control
  readonly #workers: () => Iterable<Worker>
  readonly #onHang: (worker: Worker, since: number) => void
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  /** @param workers - those that may be looked after now. */
  constructor(
    control: Control,
    workers: () => Iterable<Worker>,
    onHang: (worker: Worker, since: number) => void,
  ) {
    this.#control = control
    this.#workers = workers
    this.#onHang = onHang
  }

  /** The bell of the supervisor's process has rung, for whatever reason. */
  onBell(): void {
    if (this.#control.vitals.isCalled()) this.look()
  }

  /** Ends what is due, and sees to it that what will be is found. */
  look(): void {
    if (this.#isStopped) return
    const { vitals } = this.#control
    vitals.startWatching()
    let next = this.#endOverdue()
    if (next === Infinity) {
      vitals.stopWatching()
      // One that became busy before that has not called.
      next = this.#endOverdue()
      if (next !== Infinity) vitals.startWatching()
    }
    clearTimeout(this.#timer)
    if (next === Infinity || this.#control.isClockManual) return
    const delay = Math.min(Math.max(0, Math.ceil(next - this.#now())), LONGEST_TIMER)
    this.#timer = setTimeout(() => this.look(), delay)
    this.#timer.unref() // the workers keep the program alive
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  #now(): number {
    return this.#control.clock.now()
  }

  /** When the next worker will be due. */
  #endOverdue(): number {
    const now = this.#now()
    let next = Infinity
    for (const worker of this.#workers()) {
      const since = this.#control.vitals.busySince(worker.actor)
      if (since === undefined) continue
      const due = since + worker.handleTimeout
      if (due > now) next = Math.min(next, due)
      else this.#onHang(worker, since)
    }
    return next
  }
}
