import type { FlowMetrics, StepMetrics } from '../flow-metrics.ts'
import type { FlowState } from '../flow-options.ts'
import type { Histogram } from '../metrics/histogram.ts'
import { HistogramSum } from '../metrics/histograms.ts'
import { differenceOf, quantileOf } from '../metrics/values.ts'
import type { TaskCounts } from '../task-counts.ts'
import type { TasksAt } from './occupancy.ts'

/** Where the time of the tasks went that were finished in a period: milliseconds of a task on average. */
export interface LatencySplit {
  /** From `process()` to the outcome. */
  readonly total: number
  /** In the queues of the steps, and before the first with the wait for a place. */
  readonly queue: number
  /** In forming batches, until the handler had them. */
  readonly batch: number
  readonly handle: number
  /** The rest: handed over between the steps, and on the way back to the caller. */
  readonly transfer: number
  /** Quantiles of the total, known to a sixteenth. */
  readonly p50: number
  readonly p99: number
}

/** What a step did in a period. */
export interface StepSample {
  /** What waits in front of it at the end of the period, by priority. */
  readonly waiting: readonly TasksAt[]
  readonly tasks: number
  readonly batches: number
  readonly failed: number
  /** Tasks whose deadline had passed when they were claimed. */
  readonly expired: number
  /** Milliseconds, on average: of a task in the queue and in a forming batch, and of a batch in the handler. */
  readonly queueMs: number
  readonly batchWaitMs: number
  readonly handleMs: number
  /** Share of their time that its workers were at work, 0 to 1. */
  readonly busy: number
  /** The batches as they formed: pairs of tasks in a batch (the most, where several sizes count as one) and batches. */
  readonly batchSizes: readonly (readonly [tasks: number, batches: number])[]
}

/** A flow in figures over a short period. Plain data. */
export interface FlowSample {
  /** Milliseconds since 1970 at its end. */
  readonly at: number
  /** Milliseconds that it covers. */
  readonly periodMs: number
  readonly state: FlowState
  /** In the period; `pending` at its end. */
  readonly tasks: TaskCounts
  /** Undefined when no task was completed, or the flow keeps no metrics. */
  readonly latency: LatencySplit | undefined
  readonly steps: readonly StepSample[]
  readonly bytesInUse: number
  readonly bytesCommitted: number
}

/** What a sample is made of. */
export interface Reading {
  readonly at: number
  /** CLOCK_MONOTONIC, in milliseconds. */
  readonly time: number
  readonly state: FlowState
  readonly metrics: FlowMetrics
  /** By step and priority. */
  readonly waiting: readonly (readonly TasksAt[])[]
  /** Batches that the workers of each step can have in their hands at once. */
  readonly lanes: readonly number[]
  /** How many of those hold tasks now. */
  readonly occupied: readonly number[]
  readonly bytesInUse: number
  readonly bytesCommitted: number
}

/** What has happened between two readings. */
export function sampleOf(now: Reading, before: Reading, periodMs: number): FlowSample {
  // The flow has been started anew in between.
  const isSameRun = now.metrics.tasks.admitted >= before.metrics.tasks.admitted
  const last = isSameRun ? before.metrics : undefined
  return {
    at: now.at,
    periodMs,
    state: now.state,
    tasks: tasksSince(now.metrics.tasks, last?.tasks),
    latency: latencyOf(now.metrics, last),
    steps: now.metrics.steps.map((step, index) =>
      stepSampleOf(index, step, last?.steps[index], now, last, periodMs),
    ),
    bytesInUse: now.bytesInUse,
    bytesCommitted: now.bytesCommitted,
  }
}

function tasksSince(now: TaskCounts, before: TaskCounts | undefined): TaskCounts {
  const since = (name: keyof TaskCounts): number => Math.max(0, now[name] - (before?.[name] ?? 0))
  return {
    admitted: since('admitted'),
    completed: since('completed'),
    failed: since('failed'),
    timedOut: since('timedOut'),
    cancelled: since('cancelled'),
    rejected: since('rejected'),
    pending: now.pending,
  }
}

function latencyOf(now: FlowMetrics, before: FlowMetrics | undefined): LatencySplit | undefined {
  const totals = differenceOf(now.totalMs, before?.totalMs)
  if (totals.count === 0) return undefined
  const each = (sum: number): number => rounded(Math.max(0, sum) / totals.count)
  let queue = 0
  for (const [, { sum }] of arrivals(now, before)) queue += sum
  let batch = 0
  let handle = 0
  now.steps.forEach((step, index) => {
    const last = before?.steps[index]
    batch += step.batchWaitMs - (last?.batchWaitMs ?? 0)
    handle += step.taskHandleMs.sum - (last?.taskHandleMs.sum ?? 0)
  })
  return {
    total: each(totals.sum),
    queue: each(queue),
    batch: each(batch),
    handle: each(handle),
    transfer: each(totals.sum - queue - batch - handle),
    p50: rounded(quantileOf(totals, 0.5)),
    p99: rounded(quantileOf(totals, 0.99)),
  }
}

/** What has been measured of the edges that lead to steps, with the step of each. */
function* arrivals(
  now: FlowMetrics,
  before: FlowMetrics | undefined,
): Generator<[step: number, transferMs: Histogram]> {
  for (const { from, to, priority, transferMs } of now.edges) {
    if (to === 'client') continue
    const last = before?.edges.find(
      (edge) => edge.from === from && edge.to === to && edge.priority === priority,
    )
    yield [to, differenceOf(transferMs, last?.transferMs)]
  }
}

function stepSampleOf(
  index: number,
  now: StepMetrics,
  before: StepMetrics | undefined,
  reading: Reading,
  last: FlowMetrics | undefined,
  periodMs: number,
): StepSample {
  const handle = differenceOf(now.handleMs, before?.handleMs)
  const tasks = differenceOf(now.taskHandleMs, before?.taskHandleMs).count
  const queue = new HistogramSum()
  for (const [step, transferMs] of arrivals(reading.metrics, last))
    if (step === index) queue.add(Float64Array.from(transferMs.counts), transferMs.sum)
  const { sum, count } = queue.histogram('ms')
  const waited = now.batchWaitMs - (before?.batchWaitMs ?? 0)
  const lanes = reading.lanes[index]!
  // A batch counts when it is finished: of long ones it is seen only that they are under way.
  const recorded = lanes > 0 ? handle.sum / (periodMs * lanes) : 0
  const seen = lanes > 0 ? reading.occupied[index]! / lanes : 0
  const mean = (total: number, of: number): number => (of > 0 ? rounded(total / of) : 0)
  return {
    waiting: reading.waiting[index] ?? [],
    tasks,
    batches: handle.count,
    failed: now.failed - (before?.failed ?? 0),
    expired: now.expired - (before?.expired ?? 0),
    queueMs: mean(sum, count),
    batchWaitMs: mean(waited, tasks),
    handleMs: mean(handle.sum, handle.count),
    busy: rounded(Math.min(1, handle.count > 0 ? recorded : seen)),
    batchSizes: batchSizesOf(now, before, handle.count),
  }
}

function batchSizesOf(
  { batchTasks, batchSize }: StepMetrics,
  before: StepMetrics | undefined,
  batches: number,
): [tasks: number, batches: number][] {
  if (batchSize === 1) return batches > 0 ? [[1, batches]] : []
  const { counts, bounds } = differenceOf(batchTasks, before?.batchTasks)
  const sizes: [number, number][] = []
  counts.forEach((count, bucket) => {
    if (count > 0) sizes.push([Math.min(batchSize, bounds[bucket] ?? batchSize), count])
  })
  return sizes
}

/** A microsecond is enough. */
const rounded = (value: number): number => Math.round(value * 1e3) / 1e3
