import type { StepMeter } from '../metrics/meters.ts'
import type { Control } from '../transport/control.ts'
import type { Claim } from './batcher.ts'

/** Notes what the tasks of batches went through: in the step's metrics, and in the timings of each. */
export class BatchMeasures {
  readonly #control: Control
  readonly #step: number
  readonly #meter: StepMeter

  constructor(control: Control, step: number, meter: StepMeter) {
    this.#control = control
    this.#step = step
    this.#meter = meter
  }

  /** A task has been decoded: how long it was on its way, and how much of it there was. Returns its bytes. */
  arrived({ slot, generation, claimedAt }: Claim, payloadBytes: number): number {
    const { tasks } = this.#control
    const from = tasks.stepBefore(slot, this.#step)
    const bytes = tasks.fieldsLength(slot, generation) + payloadBytes
    this.#meter.arrived(
      from,
      tasks.priority(slot),
      claimedAt - (from < 0 ? tasks.admittedAt(slot) : tasks.queuedAt(slot)),
      bytes,
    )
    return bytes
  }

  /** A batch was handled. This worker still has its slots. */
  handled(claims: readonly Claim[], startedAt: number, now: number): void {
    if (!this.#meter.isOn) return
    const { tasks } = this.#control
    const handleMs = now - startedAt
    let waitedMs = 0
    for (const { slot, claimedAt } of claims) {
      const queueMs = Math.max(0, claimedAt - tasks.queuedAt(slot))
      tasks.setTiming(slot, this.#step, queueMs, startedAt - claimedAt, handleMs, claims.length)
      waitedMs += startedAt - claimedAt
    }
    this.#meter.handled(handleMs, claims.length, waitedMs)
  }
}
