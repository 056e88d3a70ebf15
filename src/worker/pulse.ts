import type { Control } from '../transport/control.ts'
import { SUPERVISOR } from '../transport/vitals.ts'

/** Hears when a loop has a batch in `handle`. */
export interface LoopPulse {
  /** @param now - flow time in milliseconds */
  begin(now: number): void
  /** Nothing happens when it has not begun. */
  end(): void
}

/** Says to the outside since when this worker has been busy in `handle`: with the oldest of the batches that its loops have. */
export class Pulse {
  readonly #control: Control
  readonly #isWatched: boolean
  /** By loop; Infinity for one that has nothing in `handle`. */
  readonly #since: number[] = []
  #busy = 0

  /** @param isWatched - whether the step has a `handleTimeout`. */
  constructor(control: Control, isWatched: boolean) {
    this.#control = control
    this.#isWatched = isWatched
  }

  /** That of one more loop. */
  ofLoop(): LoopPulse {
    const loop = this.#since.push(Infinity) - 1
    return { begin: (now) => this.#begin(loop, now), end: () => this.#end(loop) }
  }

  #begin(loop: number, now: number): void {
    this.#since[loop] = now
    if (this.#busy++ === 0) this.#tell(now)
  }

  #end(loop: number): void {
    if (this.#since[loop] === Infinity) return
    this.#since[loop] = Infinity
    if (--this.#busy === 0) this.#control.vitals.setIdle(this.#control.actor)
    else this.#tell(Math.min(...this.#since))
  }

  #tell(since: number): void {
    const { vitals, bells, actor } = this.#control
    if (!this.#isWatched) vitals.setBusy(actor, since)
    else if (vitals.setBusyWatched(actor, since)) bells.ringAnyway(SUPERVISOR)
  }
}
