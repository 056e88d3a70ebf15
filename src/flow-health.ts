import type { FlowState } from './flow-options.ts'
import { type Control, workerActor } from './transport/control.ts'

/** Whether a step can do work. */
export interface StepHealth {
  readonly name: string
  readonly isReady: boolean
  /** Why it is not ready; undefined when it is. */
  readonly reason: string | undefined
}

/** Whether a flow can do work, and what keeps it from it. */
export interface FlowHealth {
  readonly isReady: boolean
  readonly state: FlowState
  /** Why it is not ready; undefined when it is. */
  readonly reason: string | undefined
  readonly steps: readonly StepHealth[]
}

/** Reads the health of a flow from its shared memory. */
export function readFlowHealth(
  control: Control | undefined,
  state: FlowState,
  stepNames: readonly string[],
): FlowHealth {
  const steps = stepNames.map((name, step) => {
    const reason = control === undefined ? 'it has no workers' : troubleOf(control, step)
    return { name, isReady: reason === undefined, reason }
  })
  const sick = steps.find(({ isReady }) => !isReady)
  const reason =
    state !== 'running'
      ? `the flow is ${state}`
      : sick && `step ${sick.name} is not ready: ${sick.reason}`
  return { isReady: reason === undefined, state, reason, steps }
}

function troubleOf({ shape, vitals, clock }: Control, step: number): string | undefined {
  const now = clock.now()
  let live = 0
  let longest = 0
  for (let worker = 0; worker < shape.steps[step]!.workers; worker++) {
    const actor = workerActor(shape, step, worker)
    if (!vitals.isLive(actor)) continue
    live++
    const since = vitals.busySince(actor)
    if (since === undefined || now - since <= vitals.patience(actor)) return undefined
    longest = Math.max(longest, now - since)
  }
  if (live === 0) return 'no worker of it is ready'
  const who = live === 1 ? 'its only worker has' : `all of its ${live} workers have`
  return `${who} been busy with one batch for too long (${Math.round(longest)} ms)`
}
