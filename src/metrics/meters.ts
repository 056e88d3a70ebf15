import { BATCH_WAIT_MS, Counters } from './counters.ts'
import { Histograms } from './histograms.ts'
import {
  BATCH_MS,
  FROM_CLIENT,
  HANDLE_MS,
  type MetricsShape,
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
   * A task has come from a step, or from a client when that is below 0. Its priority and the step come from shared
   * memory: what cannot be is not recorded.
   */
  arrived(fromStep: number, priority: number, transferMs: number, bytes: number): void {
    if (fromStep >= this.#steps || priority < 0 || priority >= this.#priorities) return
    const from = fromStep < 0 ? FROM_CLIENT : fromStep + 1
    const edge = edgeHistogram(this.#priorities, from, priority)
    this.histograms.recordMsAndWhole(edge + TRANSFER_MS, transferMs, bytes)
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

  /** A batch goes to the handler. The milliseconds count from its first task, so the wait for that one does not. */
  gathered(batchMs: number, tasks: number): void {
    if (!this.#isBatching) return
    this.histograms.recordMsAndWhole(BATCH_MS, batchMs, tasks)
  }

  /** The handler has returned: once for the batch, and once for each of its tasks, which waited so long for it in all. */
  handled(handleMs: number, tasks: number, waitedMs: number): void {
    this.counters.add(BATCH_WAIT_MS, waitedMs)
    if (this.#isBatching) this.histograms.recordMsTwice(HANDLE_MS, handleMs, tasks)
    else this.histograms.recordMs(HANDLE_MS, handleMs)
  }
}

/** What a client measures. */
export class ClientMeter extends Meter {
  /** A task is complete. */
  completed(totalMs: number): void {
    this.histograms.recordMs(TOTAL_MS, totalMs)
  }
}
