import { BATCH_WAIT_MS, Counters } from './counters.ts'
import { Histograms } from './histograms.ts'
import {
  BATCH_MS,
  BATCH_TASKS,
  FROM_CLIENT,
  HANDLE_MS,
  type MetricsShape,
  TASK_BYTES,
  TASK_HANDLE_MS,
  TOTAL_MS,
  TRANSFER_MS,
  edgeHistogram,
} from './layout.ts'

/** What an actor measures, for itself to write and for anybody to read; more of it in the meters for each kind of actor. */
export class Meter {
  /** Whether there is anything to record in. */
  readonly isOn: boolean
  readonly histograms: Histograms
  readonly counters: Counters
  readonly #priorities: number
  readonly #steps: number

  /** @param start - index of the first of the actor's words. */
  constructor(words: Int32Array, start: number, shape: MetricsShape) {
    this.#priorities = shape.priorities
    this.#steps = shape.steps.length
    this.isOn = shape.metrics
    this.counters = new Counters(words, start)
    this.histograms = new Histograms(words, start, shape)
  }

  /**
   * The first histogram of the edge from a step, or from a client when that is below 0. Below 0 where there is none: both
   * come from shared memory, and what cannot be is not recorded.
   */
  protected edgeFrom(step: number, priority: number): number {
    if (step >= this.#steps || priority < 0 || priority >= this.#priorities) return -1
    return edgeHistogram(this.#priorities, step < 0 ? FROM_CLIENT : step + 1, priority)
  }
}

/** What a worker measures. Nothing when the flow keeps no metrics. */
export class StepMeter extends Meter {
  readonly #isBatching: boolean

  /** @param batchSize - the step's: where it is 1 there is nothing to say of batches that is not said of tasks. */
  constructor(words: Int32Array, start: number, shape: MetricsShape, batchSize: number) {
    super(words, start, shape)
    this.#isBatching = this.isOn && batchSize > 1
  }

  add(sum: number, amount: number): void {
    if (this.isOn) this.counters.add(sum, amount)
  }

  /** A task has come from a step, or from a client when that is below 0. */
  arrived(fromStep: number, priority: number, transferMs: number, bytes: number): void {
    const edge = this.edgeFrom(fromStep, priority)
    if (edge < 0) return
    this.histograms.recordMs(edge + TRANSFER_MS, transferMs)
    this.histograms.recordWhole(edge + TASK_BYTES, bytes)
  }

  /** A batch goes to the handler. The milliseconds count from its first task, so the wait for that one does not. */
  gathered(batchMs: number, tasks: number): void {
    if (!this.#isBatching) return
    this.histograms.recordMs(BATCH_MS, batchMs)
    this.histograms.recordWhole(BATCH_TASKS, tasks)
  }

  /** The handler has returned: once for the batch, and once for each of its tasks, which waited so long for it in all. */
  handled(handleMs: number, tasks: number, waitedMs: number): void {
    this.counters.add(BATCH_WAIT_MS, waitedMs)
    this.histograms.recordMs(HANDLE_MS, handleMs)
    if (this.#isBatching) this.histograms.recordMsTimes(TASK_HANDLE_MS, handleMs, tasks)
  }

  /** A task goes from this worker's step to its client. */
  finished(step: number, priority: number, bytes: number): void {
    if (!this.isOn) return
    const edge = this.edgeFrom(step, priority)
    if (edge >= 0) this.histograms.recordWhole(edge + TASK_BYTES, bytes)
  }
}

/** Completed tasks that are recorded together. */
const MOST_NOTED = 64

/** What a client measures. */
export class ClientMeter extends Meter {
  // Of the tasks that are noted, and not recorded yet: to record many in a loop of its own takes a fraction of the time
  // that it takes for each among all that is done for it.
  readonly #totalMs = new Float64Array(MOST_NOTED)
  readonly #returnMs = new Float64Array(MOST_NOTED)
  readonly #edges = new Int32Array(MOST_NOTED)
  #noted = 0

  /**
   * A task is complete: `fromStep` has finished it, and the worker there has recorded its bytes. Recorded by
   * {@link record} at the latest.
   */
  completed(fromStep: number, priority: number, totalMs: number, returnMs: number): void {
    const noted = this.#noted
    this.#totalMs[noted] = totalMs
    this.#returnMs[noted] = returnMs
    this.#edges[noted] = this.edgeFrom(fromStep, priority)
    this.#noted = noted + 1
    if (this.#noted === MOST_NOTED) this.record()
  }

  /** Records what is noted. */
  record(): void {
    const noted = this.#noted
    const edges = this.#edges
    this.histograms.recordEachMs(TOTAL_MS, this.#totalMs, 0, noted)
    for (let from = 0, to = 1; from < noted; from = to++) {
      const edge = edges[from]!
      while (to < noted && edges[to] === edge) to++
      if (edge >= 0) this.histograms.recordEachMs(edge + TRANSFER_MS, this.#returnMs, from, to)
    }
    this.#noted = 0
  }

  /** A task is complete that no step wanted. */
  completedAtOnce(): void {
    this.histograms.recordMs(TOTAL_MS, 0)
  }
}
