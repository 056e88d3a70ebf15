import { BATCH_WAIT_MS, EXPIRED, FAILED } from './metrics/counters.ts'
import type { Histogram } from './metrics/histogram.ts'
import { HistogramSum } from './metrics/histograms.ts'
import {
  BATCH_MS,
  BATCH_TASKS,
  FROM_CLIENT,
  HANDLE_MS,
  TASK_BYTES,
  TASK_HANDLE_MS,
  TOTAL_MS,
  TRANSFER_MS,
  edgeHistogram,
} from './metrics/layout.ts'
import { Meter } from './metrics/meters.ts'
import { type TaskCounts, readTaskCounts } from './task-counts.ts'
import { type Control, workerActor } from './transport/control.ts'
import { slotOf } from './transport/ring.ts'

/** An end of an edge: the index of a step, or the program that calls `process()`. */
export type EdgeEnd = number | 'client'

/** What has gone from one place to another at one priority. */
export interface EdgeMetrics {
  readonly from: EdgeEnd
  readonly to: EdgeEnd
  readonly priority: number
  /**
   * Milliseconds from when a task left `from` (for a client: from `process()`, so with the wait for a place in the
   * queue) until `to` took it.
   */
  readonly transferMs: Histogram
  /** Bytes of a task: its encoded fields, and the payloads in shared memory that they refer to. */
  readonly taskBytes: Histogram
}

/** What a step's workers have measured, all together. */
export interface StepMetrics {
  readonly name: string
  /** The step's option. */
  readonly batchSize: number
  /** Tasks that wait in front of the step now, by priority. */
  readonly waiting: readonly number[]
  /** Tasks that a worker has failed. */
  readonly failed: number
  /** Tasks whose deadline had passed when they were claimed. */
  readonly expired: number
  /** Milliseconds in which a batch was gathered, from its first task on until it went to the handler. Empty where `batchSize` is 1. */
  readonly batchMs: Histogram
  /** Tasks in a batch. Empty where `batchSize` is 1. */
  readonly batchTasks: Histogram
  /** Milliseconds that its tasks have waited in forming batches, all added up: from being claimed until the handler had them. */
  readonly batchWaitMs: number
  /** Milliseconds that the handler took for a batch, once for each batch. */
  readonly handleMs: Histogram
  /** The same, once for each task of the batch. */
  readonly taskHandleMs: Histogram
}

/**
 * Everything that a flow has measured since it was started. Plain data: nothing here changes later. Sums and histograms
 * only grow, so that two readings can be subtracted, see {@link differenceOf}.
 */
export interface FlowMetrics {
  /** The flow's option `metrics`. Without it there are `tasks`, `waiting` and `workers`, and everything else is empty. */
  readonly isEnabled: boolean
  readonly tasks: TaskCounts
  /** Milliseconds from `process()` to the outcome, of completed tasks. */
  readonly totalMs: Histogram
  readonly steps: readonly StepMetrics[]
  /** The edges that tasks have gone along. */
  readonly edges: readonly EdgeMetrics[]
  /** Tasks that are finished and wait for their client to take them, by priority. */
  readonly finished: readonly number[]
  readonly workers: {
    readonly running: number
    /** Workers that have ended when nobody asked them to. */
    readonly died: number
  }
}

/** What of a flow is known without shared memory. */
export interface FlowFacts {
  readonly isEnabled: boolean
  readonly priorities: number
  readonly steps: readonly { readonly name: string; readonly batchSize: number }[]
  readonly workers: FlowMetrics['workers']
}

/** Reads what all actors have measured. Nothing without shared memory: the flow has not been started. */
export function readFlowMetrics(control: Control | undefined, facts: FlowFacts): FlowMetrics {
  const { isEnabled, workers } = facts
  const clients = metersOf(control, 0, control?.shape.clients ?? 0)
  const steps = facts.steps.map((step, index) => ({
    ...step,
    meters: metersOfStep(control, index),
  }))
  const nobody = Array.from({ length: facts.priorities }, () => 0)
  return {
    isEnabled,
    tasks: readTaskCounts(control),
    totalMs: sumOf(clients, TOTAL_MS).histogram('ms'),
    steps: steps.map(({ name, batchSize, meters }, index) => ({
      name,
      batchSize,
      waiting: nobody.map((_, priority) => control?.queues[index]!.waiting(priority) ?? 0),
      failed: total(meters, FAILED),
      expired: total(meters, EXPIRED),
      batchMs: sumOf(meters, BATCH_MS).histogram('ms'),
      batchTasks: sumOf(meters, BATCH_TASKS).histogram('tasks'),
      batchWaitMs: total(meters, BATCH_WAIT_MS),
      handleMs: sumOf(meters, HANDLE_MS).histogram('ms'),
      // Where each batch is one task, workers do not say the same twice.
      taskHandleMs: sumOf(meters, batchSize > 1 ? TASK_HANDLE_MS : HANDLE_MS).histogram('ms'),
    })),
    edges: [
      ...steps.flatMap(({ meters }, step) => edgesTo(step, meters, () => meters, step, control)),
      // What goes to a client is weighed by the worker that finished it.
      ...edgesTo('client', clients, (from) => steps[from]?.meters ?? [], steps.length, control),
    ],
    finished: finishedTasks(control, nobody),
    workers,
  }
}

const metersOf = (control: Control | undefined, first: number, count: number): Meter[] =>
  control === undefined
    ? []
    : Array.from(
        { length: count },
        (_, index) => new Meter(control.words, control.metricsStart(first + index), control.shape),
      )

const metersOfStep = (control: Control | undefined, step: number): Meter[] =>
  control === undefined
    ? []
    : metersOf(control, workerActor(control.shape, step, 0), control.shape.steps[step]!.workers)

const total = (meters: readonly Meter[], sum: number): number =>
  meters.reduce((before, { counters }) => before + counters.get(sum), 0)

function sumOf(meters: readonly Meter[], histogram: number): HistogramSum {
  const sum = new HistogramSum()
  for (const { histograms } of meters)
    if (histogram < histograms.length) histograms.addTo(histogram, sum)
  return sum
}

/** The edges along which tasks have come to `to`, from a client or one of the first `sources` steps. */
function edgesTo(
  to: EdgeEnd,
  meters: readonly Meter[],
  weighedBy: (from: number) => readonly Meter[],
  sources: number,
  control: Control | undefined,
): EdgeMetrics[] {
  if (control === undefined) return []
  const edges: EdgeMetrics[] = []
  for (let from = FROM_CLIENT; from <= sources; from++) {
    for (let priority = 0; priority < control.shape.priorities; priority++) {
      const edge = edgeHistogram(control.shape.priorities, from, priority)
      const transfer = sumOf(meters, edge + TRANSFER_MS)
      if (transfer.isEmpty) continue
      edges.push({
        from: from === FROM_CLIENT ? 'client' : from - 1,
        to,
        priority,
        transferMs: transfer.histogram('ms'),
        taskBytes: sumOf(weighedBy(from - 1), edge + TASK_BYTES).histogram('bytes'),
      })
    }
  }
  return edges
}

/** Tasks in the completion rings, by priority. */
function finishedTasks(control: Control | undefined, nobody: readonly number[]): number[] {
  const counts = [...nobody]
  for (const ring of control?.completions ?? []) {
    ring.forEach((cell) => {
      const slot = slotOf(cell)
      if (slot >= control!.tasks.geometry.slots) return true
      const priority = control!.tasks.priority(slot)
      if (counts[priority] !== undefined) counts[priority]++
      return true
    })
  }
  return counts
}
