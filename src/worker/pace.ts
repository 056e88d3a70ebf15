import type { Control } from '../transport/control.ts'
import type { Claim } from './batcher.ts'

/** Batches, and milliseconds of work, that are remembered, the newer ones better: whichever is more. */
const MEMORY_BATCHES = 16
const MEMORY_MS = 250
/** Batches, and milliseconds of work, before anything is said of them: the first of a worker's life are its slowest. */
const FEWEST_BATCHES = 3
const LEAST_WORK_MS = 100
/** Short batches are looked at together, once they come to so many milliseconds. */
const LOOK_EVERY_MS = 1

/** How fast a worker is, all its loops together: told in its row of shared memory, for clients to read. */
export class Pace {
  readonly #control: Control
  readonly #batchSize: number
  readonly #concurrency: number
  /** What is not looked at yet. */
  #newBatches = 0
  #newTasks = 0
  #newMs = 0
  /** What is remembered: a full batch counts for one, others for less, since they say less of what full ones take. */
  #batches = 0
  #tasks = 0
  #ms = 0
  /** Milliseconds of the quickest batch; a former one counts for less and less. */
  #quickest = 0
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
    if (this.#isIdle) this.#wakeUp(now)
    const { paces, actor, shape, tasks } = this.#control
    if (shape.priorities === 1) return
    for (const { slot } of batch) {
      const priority = tasks.priority(slot)
      // It comes from shared memory: what cannot be is not counted.
      if (priority >= 0 && priority < shape.priorities) paces.addTasks(actor, priority, 1)
    }
  }

  /** A loop has been busy for so long with a batch. */
  took(ms: number, tasks: number): void {
    this.#newBatches++
    this.#newTasks += tasks
    this.#newMs += ms
    if (this.#newMs >= LOOK_EVERY_MS) this.#look()
  }

  /**
   * Milliseconds that a batch takes at the least, as far as is known: no task is given up that any recent batch would have
   * finished in time.
   */
  quickest(now: number): number {
    const { paces, actor, shape } = this.#control
    return shape.refuseLate && this.#isKnown && !paces.isForgotten(actor, now) ? this.#quickest : 0
  }

  /** A loop has nothing to do. */
  rests(now: number): void {
    if (this.#isIdle) return
    this.#isIdle = true
    this.#control.paces.setIdle(this.#control.actor, now)
  }

  get #isKnown(): boolean {
    return this.#allBatches >= FEWEST_BATCHES && this.#allMs >= LEAST_WORK_MS
  }

  /**
   * Learns from new batches. One that was not full is worth at least its own tasks, and at most a full one: as many as
   * agrees best with what is remembered.
   */
  #look(): void {
    const { paces, actor, shape } = this.#control
    const count = this.#newBatches
    const ms = this.#newMs / count
    const tasks = this.#newTasks / count
    const weight = (count * tasks) / this.#batchSize
    const remembered = this.#tasks > 0 ? (ms * this.#tasks) / this.#ms : this.#batchSize
    const worth = Math.min(this.#batchSize, Math.max(tasks, remembered))
    const keep = 1 - Math.min(count / MEMORY_BATCHES, this.#newMs / MEMORY_MS)
    this.#batches = this.#batches * keep + weight
    this.#tasks = this.#tasks * keep + weight * worth
    this.#ms = this.#ms * keep + weight * ms
    const batchMs = this.#ms / this.#batches
    const drift = (Math.min(ms, batchMs) - this.#quickest) / MEMORY_BATCHES
    this.#quickest = Math.min(ms, this.#quickest + drift)
    this.#allBatches += count
    this.#allMs += this.#newMs
    if (this.#isKnown) paces.tell(actor, this.#ms / this.#tasks / this.#concurrency, batchMs)
    if (shape.priorities === 1) paces.addTasks(actor, 0, this.#newTasks)
    this.#newBatches = this.#newTasks = this.#newMs = 0
  }

  #wakeUp(now: number): void {
    const { paces, actor } = this.#control
    this.#isIdle = false
    if (paces.isForgotten(actor, now)) {
      this.#batches = this.#tasks = this.#ms = this.#quickest = this.#allBatches = this.#allMs = 0
      paces.tell(actor, 0, 0)
    }
    paces.setIdle(actor, 0)
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
