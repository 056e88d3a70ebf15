import { BUCKETS } from './histogram.ts'

/** What decides how much memory an actor's metrics take. */
export interface MetricsShape {
  /** Whether histograms and the workers' sums are kept; the clients' books always are. */
  readonly metrics: boolean
  readonly priorities: number
  readonly steps: readonly unknown[]
}

/*
 * All cells are float64: exact for counts and sums up to 2^53. An actor's cells, which it alone writes, with plain
 * stores, are
 *
 *   sums │ of each histogram whether it holds anything, and its sum │ buckets of each histogram
 *
 * Anybody may read them at any time. A reader may see a value in the one and not yet in the other, and a writer's death
 * in between leaves it so: a difference of one. Buckets lie apart from the rest, so that those of a histogram that
 * nothing was ever recorded in are never touched, and cost no memory.
 */
export const SUMS = 16
export const HEAD = 2
const CELLS_PER_LINE = 8

// A worker's histograms; the edges that lead to its step follow.
export const BATCH_MS = 0
export const BATCH_TASKS = 1
export const HANDLE_MS = 2
export const TASK_HANDLE_MS = 3
const FIRST_EDGE = 4
// A client's. The edges that lead to it follow.
export const TOTAL_MS = 0

// The histograms of an edge.
export const TRANSFER_MS = 0
export const TASK_BYTES = 1
const EDGE_HISTOGRAMS = 2

/** Where an edge to a step begins when the task comes from a client. */
export const FROM_CLIENT = 0

/** Number of the first histogram of the edge from `from`: {@link FROM_CLIENT}, or a step's index plus one. */
export const edgeHistogram = (priorities: number, from: number, priority: number): number =>
  FIRST_EDGE + (from * priorities + priority) * EDGE_HISTOGRAMS

/** Histograms that an actor has place for. A task comes from a client or a step before, to a step or a client. */
export const histogramsOf = (shape: MetricsShape): number =>
  shape.metrics ? edgeHistogram(shape.priorities, shape.steps.length + 1, 0) : 0

/** Cell in which the buckets begin. */
export const bucketsStart = (histograms: number): number =>
  SUMS + Math.ceil((histograms * HEAD) / CELLS_PER_LINE) * CELLS_PER_LINE

/** Words of control memory that each actor's metrics take. */
export function metricWords(shape: MetricsShape): number {
  const histograms = histogramsOf(shape)
  return (bucketsStart(histograms) + histograms * BUCKETS) * 2
}
