import type { Control } from '../transport/control.ts'
import type { Claim } from './batcher.ts'

/** Batches, and milliseconds of work, that are remembered, the newer ones better: whichever is more. */
const MEMORY_BATCHES = 16
const MEMORY_MS = 500
/** Batches, and milliseconds of work, before anything is said of them: the first of a worker's life are its slowest. */
const FEWEST_BATCHES = 3
const LEAST_WORK_MS = 100

/** How fast a worker is, all its loops together: told in its row of shared memory, for clients to read. */
export class Pace {
  readonly #control: Control
  readonly #batchSize: number
  readonly #concurrency: number
  /** What is remembered: a full batch counts for one, others for less, since they say less of what full ones take. */
  #batches = 0
  #tasks = 0
  #ms = 0
  /** All since the worker last had a long rest. */
  #allBatches = 0
  #allMs = 0
  #isIdle = false

  constructor(control: Control, batchSize: number, concurrency: number) {
    this.#control = control
    this.#batchSize = batchSize
    this.#concurrency = concurrency
    control.paces.join(control.actor, batchSize * concurrency)
  }

  /** A loop begins with a batch. */
  takes(batch: readonly Claim[], now: number): void {
    const { paces, actor, shape, tasks } = this.#control
    if (this.#isIdle) this.#wakeUp(now)
    if (shape.priorities === 1) paces.addTasks(actor, 0, batch.length)
    else for (const { slot } of batch) this.#count(tasks.priority(slot))
  }

  /**
   * A loop has been busy for so long with a batch. One that was not full is worth at least its own tasks, and at most a
   * full one: as many as agrees best with what is remembered.
   */
  took(ms: number, tasks: number): void {
    const fullness = tasks / this.#batchSize
    const remembered = this.#tasks > 0 ? (ms * this.#tasks) / this.#ms : this.#batchSize
    const worth = ms > 0 ? Math.min(this.#batchSize, Math.max(tasks, remembered)) : tasks
    const keep = 1 - Math.min(1 / MEMORY_BATCHES, ms / MEMORY_MS)
    this.#batches = this.#batches * keep + fullness
    this.#tasks = this.#tasks * keep + fullness * worth
    this.#ms = this.#ms * keep + fullness * ms
    this.#allBatches++
    this.#allMs += ms
    if (this.#allBatches < FEWEST_BATCHES || this.#allMs < LEAST_WORK_MS) return
    const { paces, actor } = this.#control
    paces.tell(actor, this.#ms / this.#tasks / this.#concurrency, this.#ms / this.#batches)
  }

  /** A loop has nothing to do. */
  rests(now: number): void {
    if (this.#isIdle) return
    this.#isIdle = true
    this.#control.paces.setIdle(this.#control.actor, now)
  }

  #wakeUp(now: number): void {
    const { paces, actor } = this.#control
    this.#isIdle = false
    if (paces.isForgotten(actor, now)) {
      this.#batches = this.#tasks = this.#ms = this.#allBatches = this.#allMs = 0
      paces.tell(actor, 0, 0)
    }
    paces.setIdle(actor, 0)
  }

  #count(priority: number): void {
    // It comes from shared memory: what cannot be is not counted.
    if (priority >= 0 && priority < this.#control.shape.priorities)
      this.#control.paces.addTasks(this.#control.actor, priority, 1)
  }
}

/** The batches of one loop of a worker, one after another: each takes until the loop turns to the next, or has none. */
export class Turns {
  readonly #pace: Pace
  #since = 0
  #tasks = 0

  constructor(pace: Pace) {
    this.#pace = pace
  }

  /** The loop has claimed a batch, of which at `startedAt`, when it was gathered, these tasks were left. */
  begin(batch: readonly Claim[], claimedAt: number, startedAt: number): void {
    this.#end(claimedAt)
    this.#pace.takes(batch, claimedAt)
    this.#since = startedAt
    this.#tasks = batch.length
  }

  /** The loop has found nothing. */
  rest(now: number): void {
    this.#end(now)
    this.#pace.rests(now)
  }

  #end(now: number): void {
    if (this.#tasks > 0) this.#pace.took(Math.max(0, now - this.#since), this.#tasks)
    this.#tasks = 0
  }
}
