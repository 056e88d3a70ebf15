import type { Control } from '../transport/control.ts'
import {
  OUTCOME_CANCELLED,
  OUTCOME_POISONED,
  OUTCOME_TIMED_OUT,
  OUTCOME_WORKER_DIED,
} from '../transport/task-table.ts'

/** What is known of a worker's death, for the tasks that it had started. */
export interface Inquest {
  /** Number of the death in the table of deaths. */
  readonly death: number
  /** How often a task of the step may be run again; 0 for a handler that writes into its input. */
  readonly retries: number
  /**
   * `task`: whatever the worker died of, its tasks are suspects. `hang`: it was ended since it was too long in `handle`;
   * that comes from no outside. `nobody`: it was ended for reasons of the flow's own.
   */
  readonly suspects: 'task' | 'hang' | 'nobody'
}

/** What becomes of a task that a dead worker had started. */
export type Verdict =
  | { readonly runsAgain: true; readonly deathsSeen: number }
  | { readonly runsAgain: false; readonly outcome: number }

/**
 * Judges one of the `started` tasks of a dead worker. A task whose worker died is run again, alone, up to `retries` times;
 * when the worker dies in the last of these runs too, the task is what kills it. A task that was alone when its worker
 * hung needs no further run to be convicted.
 */
export function judge(
  { tasks, clock }: Control,
  step: number,
  slot: number,
  started: number,
  { retries, suspects }: Inquest,
): Verdict {
  if (tasks.isCancelled(slot)) return { runsAgain: false, outcome: OUTCOME_CANCELLED }
  if (tasks.deadline(slot) <= clock.now()) return { runsAgain: false, outcome: OUTCOME_TIMED_OUT }
  if (retries === 0) return { runsAgain: false, outcome: OUTCOME_WORKER_DIED }
  // On its way to another step, it has been through `handle`: what it had seen before is forgotten.
  const seen = tasks.target(slot) === step ? tasks.deathsSeen(slot) : 0
  if (suspects === 'nobody') return { runsAgain: true, deathsSeen: seen }
  if (seen >= retries || (suspects === 'hang' && started === 1))
    return { runsAgain: false, outcome: OUTCOME_POISONED }
  return { runsAgain: true, deathsSeen: seen + 1 }
}
