import { inLines } from './cache-lines.ts'
import { Claims } from './claims.ts'
import { Ring, cellOf, generationOf, slotOf } from './ring.ts'
import { QUEUED, type TaskTable, generationOfState, stateOf } from './task-table.ts'

const BITS = 32

export interface StepQueueShape {
  readonly priorities: number
  /** Milliseconds of head start per priority; see ageing.ts. */
  readonly ageing: number
  /** Tasks that may wait in front of the step, per priority. */
  readonly queueSize: number
  /** Cells per ring: a power of two, at least twice as many as there are slots and actors. */
  readonly ringCapacity: number
  readonly workers: number
  readonly actors: number
  /** Whether its workers gather; if not, nobody ever has the role. */
  readonly gathers: boolean
}

/** No worker holds the gatherer's role. */
const NOBODY = 0

/**
 * What waits in front of one step: a ring per priority, the workers that sleep for want of work, the actors that wait
 * for room, and the role of the gatherer. One worker at a time gathers a batch, so that batches fill one after another.
 *
 * All masks are hints that err on the side of waking somebody: a bit is taken before its actor is rung, and an actor
 * sets its bit before it looks for the last time.
 */
export class StepQueue {
  readonly #words: Int32Array
  readonly #tasks: TaskTable
  readonly #rings: readonly Ring[]
  /** No more than there are tasks. */
  readonly #queueSize: number
  /** Cells that a ring may hold, stale ones included, for one more: the rest is for what is put back after a death. */
  readonly #mostCells: number
  readonly #claims: Claims
  readonly #gathers: boolean
  readonly #gatherer: number
  readonly #stale: number
  readonly #lastProducer: number
  readonly #sleepers: number
  readonly #sleeperWords: number
  readonly #roomWaiters: number
  readonly #roomWords: number
  readonly #lastClients: number
  /** By priority: what {@link noteStale} had counted when a look at all cells found a task that waits in each; or undefined. */
  readonly #staleAtLook: (number | undefined)[]

  static wordsNeeded(shape: StepQueueShape): number {
    const masks = Math.ceil(shape.workers / BITS) + Math.ceil(shape.actors / BITS)
    return (
      16 +
      inLines(masks) +
      inLines(shape.priorities) +
      shape.priorities * Ring.wordsNeeded(shape.ringCapacity)
    )
  }

  constructor(words: Int32Array, start: number, shape: StepQueueShape, tasks: TaskTable) {
    this.#words = words
    const { slots } = tasks.geometry
    this.#queueSize = Math.min(shape.queueSize, slots)
    this.#mostCells = shape.ringCapacity - slots - shape.actors
    this.#tasks = tasks
    this.#gathers = shape.gathers
    this.#gatherer = start
    this.#stale = start + 1
    this.#lastProducer = start + 2
    this.#sleepers = start + 16
    this.#sleeperWords = Math.ceil(shape.workers / BITS)
    this.#roomWaiters = this.#sleepers + this.#sleeperWords
    this.#roomWords = Math.ceil(shape.actors / BITS)
    this.#lastClients = start + 16 + inLines(this.#sleeperWords + this.#roomWords)
    const first = this.#lastClients + inLines(shape.priorities)
    this.#rings = Array.from({ length: shape.priorities }, (_, priority) => {
      return new Ring(
        words,
        first + priority * Ring.wordsNeeded(shape.ringCapacity),
        shape.ringCapacity,
      )
    })
    this.#staleAtLook = this.#rings.map(() => undefined)
    this.#claims = new Claims(this.#rings, tasks, shape.ageing)
  }

  /** Puts a QUEUED task into the ring of its priority. False when the ring is full: then it waits nowhere yet. */
  push(slot: number, generation: number, priority: number): boolean {
    return this.#ring(priority).push(cellOf(slot, generation))
  }

  /** Says that `actor` has found room; written only where it was another's turn before. */
  noteProducer(actor: number): void {
    if (this.lastProducer() !== actor) Atomics.store(this.#words, this.#lastProducer, actor + 1)
  }

  /** The actor that found room last; -1 for none. A hint, as is {@link lastClient}. */
  lastProducer(): number {
    return this.#words[this.#lastProducer]! - 1
  }

  /** Says that a client has found room at `priority`. */
  noteClient(client: number, priority: number): void {
    if (this.lastClient(priority) !== client)
      Atomics.store(this.#words, this.#lastClients + priority, client + 1)
  }

  /** The client that found room last at `priority`; -1 for none. */
  lastClient(priority: number): number {
    return this.#words[this.#lastClients + priority]! - 1
  }

  /** Whether there is room at `priority` for one more task beside the next; never in a queue that takes one at a time. */
  hasRoomForTwo(priority: number): boolean {
    return this.#ring(priority).isShorterThan(this.#queueSize - 1)
  }

  /** Whether the queue may hold more than one task. */
  get holdsSeveral(): boolean {
    return this.#queueSize > 1
  }

  /**
   * Whether one more task may wait at `priority`. The bound is checked, not reserved: producers that look at the same
   * instant may exceed it by one each. Tasks that were withdrawn do not count.
   */
  hasRoom(priority: number): boolean {
    const ring = this.#ring(priority)
    if (ring.isShorterThan(this.#queueSize)) return true
    if (ring.length >= this.#mostCells) {
      this.#dropStaleFront(ring)
      if (ring.length >= this.#mostCells) return false
    }
    // As long as no more of them can be stale, another look would find what the last one did.
    const noted = Atomics.load(this.#words, this.#stale)
    if (this.#staleAtLook[priority] === noted) return false
    let live = 0
    let others = 0
    ring.forEach((cell) => {
      if (this.#isLive(cell)) live++
      else others++
      return true
    })
    const isFull = live >= this.#queueSize
    this.#staleAtLook[priority] = isFull && others === 0 ? noted : undefined
    return !isFull
  }

  /**
   * Says that there may be cells whose task waits there no more: it was withdrawn, or who took it has died. Called before
   * those who wait for room are woken.
   */
  noteStale(): void {
    Atomics.add(this.#words, this.#stale, 1)
  }

  /** Cells in the ring of `priority`: what waits there, and what was withdrawn and not swept out yet. */
  cells(priority: number): number {
    return this.#ring(priority).length
  }

  /** Tasks that wait at any priority. Reads the rings. */
  get length(): number {
    let length = 0
    for (let priority = 0; priority < this.#rings.length; priority++)
      length += this.waiting(priority)
    return length
  }

  /** Tasks that wait at `priority`, without those that were withdrawn. Reads the ring. */
  waiting(priority: number): number {
    let live = 0
    this.#ring(priority).forEach((cell) => {
      if (this.#isLive(cell)) live++
      return true
    })
    return live
  }

  /** Whether the ring of `priority` holds the cell of a task. */
  holds(slot: number, generation: number, priority: number): boolean {
    const wanted = cellOf(slot, generation)
    let found = false
    this.#ring(priority).forEach((cell) => {
      found = cell === wanted
      return !found
    })
    return found
  }

  /** Claims the next task for `actor`. Returns its slot, or -1; see {@link Claims.claim}. */
  claim(actor: number, takesSuspects = true): number {
    return this.#claims.claim(actor, takesSuspects)
  }

  isEmpty(): boolean {
    for (const ring of this.#rings) if (!ring.isEmpty()) return false
    return true
  }

  /** Takes the role of the gatherer; false when another worker has it. */
  takeGathering(actor: number): boolean {
    return Atomics.compareExchange(this.#words, this.#gatherer, NOBODY, actor + 1) === NOBODY
  }

  /** Gives the role back, also in the name of a dead worker. */
  endGathering(actor: number): void {
    Atomics.compareExchange(this.#words, this.#gatherer, actor + 1, NOBODY)
  }

  isGathering(): boolean {
    return this.gatherer() >= 0
  }

  /** The actor that has the role, or -1. */
  gatherer(): number {
    return this.#gathers ? Atomics.load(this.#words, this.#gatherer) - 1 : -1
  }

  /** Whether somebody has to be woken for a task that was just pushed. */
  needsWake(): boolean {
    return this.isGathering() || this.hasSleeper()
  }

  /** Says that a worker of the step (by its index in the step) is about to sleep. */
  sleep(worker: number): void {
    Atomics.or(this.#words, this.#sleepers + (worker >>> 5), 1 << (worker & 31))
  }

  wake(worker: number): void {
    Atomics.and(this.#words, this.#sleepers + (worker >>> 5), ~(1 << (worker & 31)))
  }

  hasSleeper(): boolean {
    for (let index = 0; index < this.#sleeperWords; index++) {
      if (Atomics.load(this.#words, this.#sleepers + index) !== 0) return true
    }
    return false
  }

  /** Takes one sleeping worker off the list, the lowest first so that few workers stay busy and warm; -1 when none sleeps. */
  takeSleeper(): number {
    for (let index = 0; index < this.#sleeperWords; index++) {
      const at = this.#sleepers + index
      for (
        let mask = Atomics.load(this.#words, at);
        mask !== 0;
        mask = Atomics.load(this.#words, at)
      ) {
        const bit = mask & -mask
        if ((Atomics.and(this.#words, at, ~bit) & bit) !== 0)
          return index * BITS + 31 - Math.clz32(bit)
      }
    }
    return -1
  }

  /** Says that `actor` waits for room. */
  waitForRoom(actor: number): void {
    Atomics.or(this.#words, this.#roomWaiters + (actor >>> 5), 1 << (actor & 31))
  }

  /** Whether anybody waits for room. Asked first: how long the queue is lies in the cache line that its producers write. */
  hasRoomWaiters(): boolean {
    for (let index = 0; index < this.#roomWords; index++)
      if (Atomics.load(this.#words, this.#roomWaiters + index) !== 0) return true
    return false
  }

  /**
   * Whether those who wait for room should be woken: who found some last only once half of a class is free, so that it is
   * woken seldom, anybody else as soon as there is any, or who is awake would take it each time.
   */
  shouldWakeRoomWaiters(): boolean {
    const most = this.#waitsBeside(this.lastProducer())
      ? this.#queueSize - 1
      : this.#queueSize >>> 1
    for (const ring of this.#rings) if (ring.length <= most) return true
    return false
  }

  /** Whether anybody but `actor` waits for room. */
  #waitsBeside(actor: number): boolean {
    for (let index = 0; index < this.#roomWords; index++) {
      const waiting = Atomics.load(this.#words, this.#roomWaiters + index)
      if ((actor >>> 5 === index ? waiting & ~(1 << (actor & 31)) : waiting) !== 0) return true
    }
    return false
  }

  /** Takes everybody who waits for room off the list and names each. */
  takeRoomWaiters(wake: (actor: number) => void): void {
    for (let index = 0; index < this.#roomWords; index++) {
      const at = this.#roomWaiters + index
      if (Atomics.load(this.#words, at) === 0) continue
      let mask = Atomics.exchange(this.#words, at, 0)
      while (mask !== 0) {
        const bit = mask & -mask
        mask ^= bit
        wake(index * BITS + 31 - Math.clz32(bit))
      }
    }
  }

  #isLive(cell: number): boolean {
    const slot = slotOf(cell)
    if (slot >= this.#tasks.geometry.slots) return false
    const word = this.#tasks.word(slot)
    return stateOf(word) === QUEUED && generationOfState(word) === generationOf(cell)
  }

  #dropStaleFront(ring: Ring): void {
    for (let cell = ring.peek(); cell !== 0 && !this.#isLive(cell); cell = ring.peek())
      ring.remove(cell)
  }

  #ring(priority: number): Ring {
    return this.#rings[priority]!
  }
}
