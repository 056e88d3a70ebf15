import { BellReader } from '../transport/bell-reader.ts'
import type { Control } from '../transport/control.ts'

/** Milliseconds that a timer of Node can run at the most: who is woken early looks, and sleeps again. */
const LONGEST_TIMER = 2 ** 31 - 1

/**
 * The worker's bell, read in its event loop, and the timer that may end a sleep earlier. Several loops of one worker
 * may sleep at once: a ring wakes them all, and each looks for itself. Others may listen for rings while no loop sleeps.
 */
export class Sleeper {
  readonly #control: Control
  readonly #bell: BellReader
  readonly #listeners = new Set<() => void>()
  #sleeping: (() => void)[] = []
  #timer: NodeJS.Timeout | undefined
  #timerAt = Infinity

  constructor(control: Control, readEnd: number) {
    this.#control = control
    this.#bell = new BellReader(readEnd, () => this.#onRing())
  }

  /** Whether some loop of the worker sleeps. */
  get isAsleep(): boolean {
    return this.#sleeping.length > 0
  }

  /** Keeps the bell armed, and calls `onRing` at each ring, until {@link unlisten}. */
  listen(onRing: () => void): void {
    this.#listeners.add(onRing)
    this.arm()
  }

  unlisten(onRing: () => void): void {
    this.#listeners.delete(onRing)
    this.#disarm()
  }

  /** From now on a ring is heard by the next {@link sleep}. */
  arm(): void {
    this.#control.bells.arm(this.#control.actor)
  }

  /**
   * Sleeps until the bell rings, {@link wakeAll} is called or `until` (flow time) has come; not at all if `hasWork` is
   * true once the bell is armed.
   */
  sleep(until: number, hasWork: () => boolean): Promise<void> | undefined {
    const { bells, actor, clock } = this.#control
    bells.arm(actor)
    if (hasWork()) {
      this.#disarm()
      return undefined
    }
    if (until < this.#timerAt && !this.#control.isClockManual) {
      clearTimeout(this.#timer)
      this.#timerAt = until
      const delay = Math.min(LONGEST_TIMER, Math.max(0, Math.ceil(until - clock.now())))
      this.#timer = setTimeout(() => this.wakeAll(), delay)
    }
    return new Promise((resolve) => {
      this.#sleeping.push(resolve)
    })
  }

  wakeAll(): void {
    const sleeping = this.#sleeping
    this.#sleeping = []
    this.#disarm()
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#timerAt = Infinity
    for (const wake of sleeping) wake()
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#bell.close()
  }

  #onRing(): void {
    this.wakeAll()
    if (this.#listeners.size === 0) return
    this.arm() // before they look
    for (const onRing of this.#listeners) onRing()
  }

  /** Unless somebody needs it armed. */
  #disarm(): void {
    const { bells, actor } = this.#control
    if (this.#sleeping.length === 0 && this.#listeners.size === 0) bells.disarm(actor)
  }
}
