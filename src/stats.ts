import type { FlowMetrics, StepMetrics } from './flow-metrics.ts'
import type { Histogram } from './metrics/histogram.ts'
import { HistogramSum } from './metrics/histograms.ts'
import { residentAnonBytes } from './metrics/resident-memory.ts'
import { quantileOf } from './metrics/values.ts'
import type { WorkerReport } from './runtime/seat.ts'
import type { TaskCounts } from './task-counts.ts'

/** Milliseconds: the mean is exact, quantiles to a sixteenth. */
export interface Durations {
  readonly mean: number
  readonly p50: number
  readonly p99: number
}

/** A step in figures, over the life of its workers. */
export interface StepStats {
  readonly name: string
  /** Tasks that wait in front of the step now. */
  readonly queued: number
  /** Tasks handled, whatever the outcome. */
  readonly tasks: number
  readonly batches: number
  readonly failed: number
  /** Tasks whose deadline had passed when they were claimed. */
  readonly expired: number
  /** Milliseconds on the way to the step: in its queue, and for its first step with the wait for a place there. */
  readonly queueMs: Durations
  /** Milliseconds that `handle` took for a batch. */
  readonly handleMs: Durations
  readonly meanBatchSize: number
}

/** A worker in figures. */
export interface WorkerStats extends WorkerReport {
  /**
   * Memory of the worker's process that is its own: neither files nor the flow's shared memory. For a thread that of the
   * process that it is in, the same for each: add up once per `pid`. 0 when the worker is dead.
   */
  readonly rssAnonBytes: number
}

/** A flow in figures. */
export interface FlowStats {
  /** Of all clients: admitted = completed + failed + timedOut + cancelled + pending, exactly when they are at rest. */
  readonly tasks: TaskCounts
  readonly steps: readonly StepStats[]
  readonly workers: readonly WorkerStats[]
  readonly memory: {
    /** Blocks with an owner: a task in flight, or a program that holds a result. */
    readonly blocksInUse: number
    readonly bytesInUse: number
    /** Bytes that the system has given, in use or warm for the next task. */
    readonly bytesCommitted: number
    readonly bytesMax: number
  }
}

const mean = ({ sum, count }: Histogram): number => (count > 0 ? sum / count : 0)

const durationsOf = (histogram: Histogram): Durations => ({
  mean: mean(histogram),
  p50: quantileOf(histogram, 0.5),
  p99: quantileOf(histogram, 0.99),
})

/** What a flow has measured of its steps, summed up. */
export const stepStats = ({ steps, edges }: FlowMetrics): StepStats[] =>
  steps.map((step, index) => {
    const queue = new HistogramSum()
    for (const { to, transferMs } of edges)
      if (to === index) queue.add(Float64Array.from(transferMs.counts), transferMs.sum)
    return { ...countsOf(step), queueMs: durationsOf(queue.histogram('ms')) }
  })

const countsOf = (step: StepMetrics): Omit<StepStats, 'queueMs'> => ({
  name: step.name,
  queued: step.waiting.reduce((sum, tasks) => sum + tasks, 0),
  tasks: step.taskHandleMs.count,
  batches: step.handleMs.count,
  failed: step.failed,
  expired: step.expired,
  handleMs: durationsOf(step.handleMs),
  meanBatchSize: step.handleMs.count > 0 ? step.taskHandleMs.count / step.handleMs.count : 0,
})

/** The workers with their memory, each process looked at once. */
export function workerStats(workers: readonly WorkerReport[]): WorkerStats[] {
  const byPid = new Map<number, number>()
  return workers.map((worker) => {
    const { pid, state } = worker
    if (state === 'dead') return { ...worker, rssAnonBytes: 0 }
    const bytes = byPid.get(pid) ?? residentAnonBytes(pid)
    byPid.set(pid, bytes)
    return { ...worker, rssAnonBytes: bytes }
  })
}
