import {
  ADMITTED,
  CANCELLED,
  COMPLETED,
  Counters,
  FAILED,
  REJECTED,
  TIMED_OUT,
} from './metrics/counters.ts'
import type { Control } from './transport/control.ts'

/**
 * What became of tasks: admitted = completed + failed + timedOut + cancelled + pending. For one client that holds at
 * every moment; for the sum of several, exactly when they are at rest.
 */
export interface TaskCounts {
  readonly admitted: number
  readonly completed: number
  readonly failed: number
  readonly timedOut: number
  readonly cancelled: number
  readonly pending: number
  /** Refused with `QueueFullError`; not among the admitted. */
  readonly rejected: number
}

export const NO_TASKS: TaskCounts = Object.freeze({
  admitted: 0,
  completed: 0,
  failed: 0,
  timedOut: 0,
  cancelled: 0,
  pending: 0,
  rejected: 0,
})

export const sumOfCounts = (a: TaskCounts, b: TaskCounts): TaskCounts => ({
  admitted: a.admitted + b.admitted,
  completed: a.completed + b.completed,
  failed: a.failed + b.failed,
  timedOut: a.timedOut + b.timedOut,
  cancelled: a.cancelled + b.cancelled,
  pending: a.pending + b.pending,
  rejected: a.rejected + b.rejected,
})

/** The books of all clients, of those too that have gone. */
export function readTaskCounts(control: Control | undefined): TaskCounts {
  if (control === undefined) return NO_TASKS
  const books = Array.from(
    { length: control.shape.clients },
    (_, client) => new Counters(control.words, control.metricsStart(client)),
  )
  const sum = (index: number): number =>
    books.reduce((before, counters) => before + counters.get(index), 0)
  const [completed, failed, timedOut] = [sum(COMPLETED), sum(FAILED), sum(TIMED_OUT)]
  const [cancelled, rejected] = [sum(CANCELLED), sum(REJECTED)]
  // Last: of what comes to its end while this reads, more would have ended than had been admitted.
  const admitted = sum(ADMITTED)
  const pending = admitted - completed - failed - timedOut - cancelled
  return { admitted, completed, failed, timedOut, cancelled, pending, rejected }
}
