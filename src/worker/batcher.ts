import { SUSPECT_NEXT } from '../transport/claims.ts'
import type { Control } from '../transport/control.ts'
import { CLAIMED, RUNNING, stateWord } from '../transport/task-table.ts'

/** A task that this worker has claimed. */
export interface Claim {
  readonly slot: number
  readonly generation: number
  /** When it was claimed, in flow time. */
  readonly claimedAt: number
  /** Its length, payloads included; known once it is decoded. */
  bytes: number
}

export interface BatcherOptions {
  readonly step: number
  readonly batchSize: number
  readonly batchTimeout: number
  /** Gives up the thread until the bell rings or `until` (flow time) has come. */
  readonly sleep: (until: number) => Promise<void>
  /** Milliseconds that a batch takes at the least. */
  readonly quickest: (now: number) => number
  /** Settles a claimed task whose deadline has passed, or will have passed before it is finished. */
  readonly expire: (claim: Claim) => void
}

/**
 * Gathers one batch at a time. Greedy without a `batchTimeout`: what is there, never waiting. With one, it waits for a
 * full batch, counted from the first task. Withdrawn and expired tasks never enter, nor do those that cannot be finished
 * in time while others wait that can: under overload the first of a queue is always the one that is almost late. A
 * suspect, whose last worker died, is a batch of its own.
 */
export class Batcher {
  readonly #control: Control
  readonly #options: BatcherOptions
  readonly #step: number
  #isClosed = false

  constructor(control: Control, options: BatcherOptions) {
    this.#control = control
    this.#options = options
    this.#step = options.step
  }

  /** Whether nothing more may enter the batch for which {@link claim} was called last. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /**
   * Claims what is there now, up to `room` with what `former` holds. Returns the batch, which `former` may have become.
   * `known` is what the clock shows, if that was read just before.
   */
  claim(former: Claim[], room: number, known = -1): Claim[] {
    const { tasks, clock, actor } = this.#control
    const queue = this.#control.queues[this.#step]!
    let batch = former
    let now = -1
    let quickest = 0
    let isClosed = false
    while (batch.length < room && !isClosed) {
      const slot = queue.claim(actor, batch.length === 0)
      isClosed = slot === SUSPECT_NEXT
      if (slot < 0) break
      if (now < 0) {
        now = known < 0 ? clock.now() : known
        quickest = this.#options.quickest(now)
      }
      const generation = tasks.generation(slot)
      const claim = { slot, generation, claimedAt: now, bytes: 0 }
      const left = tasks.deadline(slot) - now
      if (left <= 0 || (left < quickest && !queue.isEmpty())) this.#options.expire(claim)
      else {
        // An array that grows takes a place for twenty, and many batches are of one.
        if (batch.length === 0) batch = [claim]
        else batch.push(claim)
        isClosed = tasks.deathsSeen(slot) > 0
      }
    }
    // Also where nothing was claimed: cells of tasks that had been withdrawn may have been swept out.
    if (queue.hasRoomWaiters() && queue.shouldWakeRoomWaiters())
      this.#control.wakeRoomWaiters(this.#step)
    this.#isClosed = isClosed || batch.length >= room
    return batch
  }

  /** Waits until the batch is full or its time is over. Returns it. The caller holds the gatherer's role. */
  async fill(begun: Claim[]): Promise<Claim[]> {
    const { batchSize, batchTimeout, sleep } = this.#options
    const until = begun[0]!.claimedAt + batchTimeout
    let batch = begun
    while (!this.#isClosed && this.#control.clock.now() < until) {
      await sleep(until)
      this.#dropWithdrawn(batch)
      batch = this.claim(batch, batchSize)
    }
    return batch
  }

  /** Starts every task of the batch, and returns it; those that were withdrawn meanwhile drop out, the expired ones are settled. */
  start(batch: Claim[], now: number = this.#control.clock.now()): Claim[] {
    let started = 0
    for (const claim of batch) if (this.#starts(claim, now)) batch[started++] = claim
    if (started < batch.length) batch.length = started
    return batch
  }

  #starts(claim: Claim, now: number): boolean {
    const { tasks, actor } = this.#control
    const { slot, generation } = claim
    if (now > claim.claimedAt && tasks.deadline(slot) <= now) {
      this.#options.expire(claim)
      return false
    }
    return tasks.move(
      slot,
      stateWord(CLAIMED, actor, generation),
      stateWord(RUNNING, actor, generation),
    )
  }

  #dropWithdrawn(batch: Claim[]): void {
    const { tasks, actor } = this.#control
    for (let index = batch.length - 1; index >= 0; index--) {
      const { slot, generation } = batch[index]!
      if (tasks.word(slot) !== stateWord(CLAIMED, actor, generation)) batch.splice(index, 1)
    }
  }
}
