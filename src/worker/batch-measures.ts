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

  /** A batch was handled. This worker still has its slots, and nothing was written into them. */
  handled(claims: readonly Claim[], startedAt: number, now: number): void {
    const meter = this.#meter
    if (!meter.isOn) return
    const { tasks } = this.#control
    const step = this.#step
    const handleMs = now - startedAt
    const size = claims.length
    let waitedMs = 0
    for (const { slot, claimedAt, bytes } of claims) {
      const from = step === 0 ? -1 : tasks.stepBefore(slot, step)
      const queuedAt = tasks.queuedAt(slot)
      const admittedAt = tasks.admittedAt(slot)
      const batchMs = startedAt - claimedAt
      meter.arrived(
        from,
        tasks.priority(slot),
        claimedAt - (from < 0 ? admittedAt : queuedAt),
        bytes,
      )
      const queueMs = Math.max(0, claimedAt - queuedAt)
      tasks.setTiming(slot, step, queueMs, batchMs, handleMs, size, queuedAt - admittedAt)
      waitedMs += batchMs
    }
    meter.handled(handleMs, size, waitedMs)
  }
}
