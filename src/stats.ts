import {
  BATCHES,
  CANCELLED,
  COMPLETED,
  Counters,
  Distribution,
  EXPIRED,
  FAILED,
  HANDLE_HISTOGRAM,
  HANDLE_MS,
  QUEUE_HISTOGRAM,
  QUEUE_MS,
  REJECTED,
  TASKS,
  TIMED_OUT,
} from './metrics/counters.ts'
import type { WorkerReport } from './runtime/seat.ts'
import { type Control, workerActor } from './transport/control.ts'

/** A step in figures, over the life of its workers. Quantiles are exact to a tenth. */
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
  /** Milliseconds in the queue. */
  readonly queueMs: { readonly mean: number; readonly p50: number; readonly p99: number }
  /** Milliseconds that `handle` took for a batch. */
  readonly handleMs: { readonly mean: number; readonly p50: number; readonly p99: number }
  readonly meanBatchSize: number
}

/** What became of tasks. */
export interface TaskCounts {
  readonly admitted: number
  readonly completed: number
  readonly failed: number
  readonly timedOut: number
  readonly cancelled: number
  readonly pending: number
  /** Refused with `QueueFullError`, and not among the admitted. */
  readonly rejected: number
}

/** A flow in figures. */
export interface FlowStats {
  /** Of all clients: admitted = completed + failed + timedOut + cancelled + pending, exactly when they are at rest. */
  readonly tasks: TaskCounts
  readonly steps: readonly StepStats[]
  readonly workers: readonly WorkerReport[]
  readonly memory: {
    /** Blocks with an owner: a task in flight, or a program that holds a result. */
    readonly blocksInUse: number
    readonly bytesInUse: number
    /** Bytes that the system has given, in use or warm for the next task. */
    readonly bytesCommitted: number
    readonly bytesMax: number
  }
}

const mean = (sum: number, count: number): number => (count > 0 ? sum / count : 0)

/** Sums the books of all clients. All zero without shared memory: the flow has not been started. */
export function readTaskCounts(control: Control | undefined): TaskCounts {
  const sum = (index: number): number => {
    let total = 0
    for (let client = 0; client < (control?.shape.clients ?? 0); client++) {
      total += new Counters(control!.words, control!.metricsStart(client)).get(index)
    }
    return total
  }
  const [completed, failed, timedOut] = [sum(COMPLETED), sum(FAILED), sum(TIMED_OUT)]
  const [admitted, cancelled, rejected] = [sum(TASKS), sum(CANCELLED), sum(REJECTED)]
  const pending = admitted - completed - failed - timedOut - cancelled
  return { admitted, completed, failed, timedOut, cancelled, pending, rejected }
}

/** Sums the counters of a step's workers. All zero without shared memory: the flow has not been started. */
export function readStepStats(name: string, step: number, control: Control | undefined): StepStats {
  const sums = new Float64Array(HANDLE_MS + 1)
  const queue = new Distribution()
  const handle = new Distribution()
  if (control !== undefined) {
    for (let worker = 0; worker < control.shape.steps[step]!.workers; worker++) {
      const start = control.metricsStart(workerActor(control.shape, step, worker))
      const counters = new Counters(control.words, start)
      for (let sum = TASKS; sum <= HANDLE_MS; sum++) sums[sum]! += counters.get(sum)
      counters.addTo(QUEUE_HISTOGRAM, queue)
      counters.addTo(HANDLE_HISTOGRAM, handle)
    }
  }
  const [tasks, batches] = [sums[TASKS]!, sums[BATCHES]!]
  return {
    name,
    queued: control?.queues[step]?.length ?? 0,
    tasks,
    batches,
    failed: sums[FAILED]!,
    expired: sums[EXPIRED]!,
    queueMs: {
      mean: mean(sums[QUEUE_MS]!, tasks),
      p50: queue.quantile(0.5),
      p99: queue.quantile(0.99),
    },
    handleMs: {
      mean: mean(sums[HANDLE_MS]!, batches),
      p50: handle.quantile(0.5),
      p99: handle.quantile(0.99),
    },
    meanBatchSize: mean(tasks, batches),
  }
}
