import { inLines, inPairsOfLines } from './cache-lines.ts'
import { GENERATION_MASK } from './ring.ts'

/**
 * The task slots: one record of shared memory for each task, from admission until its caller has the outcome.
 *
 * The state word says in one atomic word what a task is doing, for whom, and which version of its fields counts:
 *
 * ```
 *    31      27    24 23         14 13            0
 *   ┌─────────┬───────┬─────────────┬──────────────┐
 *   │    0    │ state │    actor    │  generation  │
 *   └─────────┴───────┴─────────────┴──────────────┘
 *
 *            submit              claim                start
 *   FREE ─────────────▶ QUEUED ─────────▶ CLAIMED ─────────▶ RUNNING
 *    ▲ ▲                 │ ▲ │              │  │                │ │
 *    │ └─── withdraw ────┘ │ └──────────────│──│── hand over ───┘ │
 *    ├───── withdraw ──────│────────────────┘  │                  │
 *    │                     ├─── put back ──────┘                  │ finish
 *    │                     └─── run again after a death ──────────┤
 *    └───────────────────────── collect ────────────── DONE ◀─────┘
 * ```
 *
 * - FREE: the client alone uses the slot. QUEUED: anyone of the step may claim it; `actor` is who put it there, so that
 *   a death between this word and the ring's cell can be made good. CLAIMED and RUNNING: `actor` is the worker.
 *   DONE: `actor` is who finished it; the client alone collects it.
 * - What a dead worker had is put back, or run again, by the supervisor alone: into the same half, two generations on.
 * - Only a task that is QUEUED or CLAIMED can be withdrawn; a RUNNING one is told through its cancel word.
 * - Each hand-over raises the generation. Fields live twice, in an even and an odd half: a worker writes into the half
 *   that does not count yet, and the swap of the state word makes it count. A death in the middle leaves the other
 *   half, whole.
 */
export const FREE = 0
export const QUEUED = 1
export const CLAIMED = 2
export const RUNNING = 3
export const DONE = 4

const ACTOR_SHIFT = 14
const ACTOR_MASK = 0x3ff
const STATE_SHIFT = 24

/** The most clients and workers that a state word can name. */
export const MAX_ACTORS: number = ACTOR_MASK + 1

export const stateWord = (state: number, actor: number, generation: number): number =>
  (state << STATE_SHIFT) | (actor << ACTOR_SHIFT) | generation
export const stateOf = (word: number): number => word >>> STATE_SHIFT
export const actorOf = (word: number): number => (word >>> ACTOR_SHIFT) & ACTOR_MASK
export const generationOfState = (word: number): number => word & GENERATION_MASK
export const nextGeneration = (generation: number): number => (generation + 1) & GENERATION_MASK

/** How a task ended. */
export const OUTCOME_COMPLETED = 0
export const OUTCOME_FAILED = 1 // the fields hold the error, `detail` names the step
export const OUTCOME_TIMED_OUT = 2
export const OUTCOME_CANCELLED = 3
export const OUTCOME_WORKER_DIED = 4 // `detail` names the death
export const OUTCOME_POISONED = 5 // the same: the worker died again when the task was run alone

// A slot's words, in pairs of cache lines, which processors fetch together: first what a worker reads when it claims a task,
// with the first of the even half behind it; then what is said at its end, with the first of the odd half behind that. A
// task of one step comes in the one and goes back in the other.
const STATE = 0
const CANCEL = 1 // 1 once the caller has gone; written by the client
const TASK_CLASS = 2
const PRIORITY = 3
const ADMITTED_AT = 4 // float64, ms since the flow's birth: when its caller gave it
const DEADLINE = 6 // float64, ms since the flow's birth
const QUEUED_AT = 8 // float64, ms since the flow's birth: when it entered the queue in which it is, that of its client included
const FIRST_BLOCK = 10 // head of the list of blocks that the slot owns, plus one
const TARGET = 11 // the step in whose queue it is, or is about to be; above TARGET_BITS the deaths of workers that ran it there
const HALF = 12 // two words for each half: its length in bytes; the block that holds it plus one, or 0
const EVEN = 16 // the even half

// Of the second part.
const LACKS_MEMORY = 0 // 1 while a worker waits for memory to hand the task over, and if it has waited in vain; written by the worker
const OUTCOME = 1
const DETAIL = 2
const TIMINGS = 4 // past a spare word

const TARGET_BITS = 16

/**
 * Words of timing per step, all float32: milliseconds in the queue, in the forming batch and in the handler, batch size, and
 * milliseconds from admission until it was in the queue.
 */
const TIMING_WORDS = 5

/**
 * Where the time of a task went: its milliseconds in all; then for each step those in the queue, in the forming batch and in
 * the handler, the tasks of its batch, 0 where the task skipped the step, and those from admission until it was in the queue.
 * One array of numbers, since every task has one.
 */
export type RecordedTimings = readonly [totalMs: number, ...steps: number[]]

export interface SlotGeometry {
  readonly slots: number
  readonly steps: number
  /** Bytes of each of the two halves that hold encoded fields beside the header; a multiple of 8. */
  readonly inlineBytes: number
}

export class TaskTable {
  readonly geometry: SlotGeometry
  /** All control memory as bytes: what {@link fieldsStart} indexes. */
  readonly bytes: Uint8Array
  readonly #words: Int32Array
  readonly #floats: Float32Array
  readonly #doubles: Float64Array
  readonly #start: number
  readonly #slotWords: number
  readonly #end: number
  readonly #odd: number

  /** Where the parts of a slot begin: what is said at the end, and the odd half; and how long a slot is. */
  static #partsOf({ steps, inlineBytes }: SlotGeometry): [end: number, odd: number, all: number] {
    const half = inlineBytes / 4
    const end = inPairsOfLines(EVEN + half)
    const odd = end + inLines(TIMINGS + steps * TIMING_WORDS)
    return [end, odd, inPairsOfLines(odd + half)]
  }

  static wordsNeeded(geometry: SlotGeometry): number {
    return geometry.slots * TaskTable.#partsOf(geometry)[2]
  }

  constructor(geometry: SlotGeometry, words: Int32Array, start: number) {
    this.geometry = geometry
    this.#words = words
    this.#floats = new Float32Array(words.buffer, words.byteOffset, words.length)
    this.#doubles = new Float64Array(words.buffer, words.byteOffset, words.length >> 1)
    this.bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
    this.#start = start
    ;[this.#end, this.#odd, this.#slotWords] = TaskTable.#partsOf(geometry)
  }

  word(slot: number): number {
    return Atomics.load(this.#words, this.#at(slot) + STATE)
  }

  /** Swaps the state word; false when it is not (or no longer) `from`. */
  move(slot: number, from: number, to: number): boolean {
    return this.swap(slot, from, to) === from
  }

  /** The same; returns the word that was there. */
  swap(slot: number, from: number, to: number): number {
    return Atomics.compareExchange(this.#words, this.#at(slot) + STATE, from, to)
  }

  /**
   * Sets the state word of a slot that the caller owns alone. A plain store: whoever is to find the task finds it by a cell,
   * and that is swapped in after this.
   */
  set(slot: number, word: number): void {
    this.#words[this.#at(slot) + STATE] = word
  }

  /** The same, for who looks next whether the task's caller has gone: one of the two sees the other. */
  setInOrder(slot: number, word: number): void {
    Atomics.store(this.#words, this.#at(slot) + STATE, word)
  }

  /** The generation of a slot whose state nobody else changes to another one: its client's, or one that the caller has claimed. */
  generation(slot: number): number {
    return generationOfState(this.#words[this.#at(slot) + STATE]!)
  }

  /** Writes what stays the same for the whole life of a task. Only for a FREE slot, by its client. */
  describe(
    slot: number,
    taskClass: number,
    priority: number,
    admittedAt: number,
    deadline: number,
  ): void {
    const at = this.#at(slot)
    const end = at + this.#end
    const words = this.#words
    words[at + CANCEL] = 0
    words[at + TASK_CLASS] = taskClass
    words[at + PRIORITY] = priority
    words[end + OUTCOME] = OUTCOME_COMPLETED
    words[end + DETAIL] = 0
    words[end + LACKS_MEMORY] = 0
    this.#doubles[(at + ADMITTED_AT) >> 1] = admittedAt
    this.#doubles[(at + DEADLINE) >> 1] = deadline
    for (let step = 0; step < this.geometry.steps; step++) {
      words[end + TIMINGS + step * TIMING_WORDS + 3] = 0
    }
  }

  taskClass(slot: number): number {
    return this.#words[this.#at(slot) + TASK_CLASS]!
  }

  priority(slot: number): number {
    return this.#words[this.#at(slot) + PRIORITY]!
  }

  /**
   * Flow time of the task's `process()`. Whoever does not hold the slot reads it before the state word: a word that is
   * still the task's says that this was too.
   */
  admittedAt(slot: number): number {
    return this.#doubles[(this.#at(slot) + ADMITTED_AT) >> 1]!
  }

  deadline(slot: number): number {
    return this.#doubles[(this.#at(slot) + DEADLINE) >> 1]!
  }

  queuedAt(slot: number): number {
    return this.#doubles[(this.#at(slot) + QUEUED_AT) >> 1]!
  }

  /** The step for whose queue a task was last published. */
  target(slot: number): number {
    return this.#words[this.#at(slot) + TARGET]! & ((1 << TARGET_BITS) - 1)
  }

  /**
   * Workers of its step that have died while they ran the task. One that has seen a death is a suspect, and is run alone.
   * Read after the state word by those who do not hold the slot.
   */
  deathsSeen(slot: number): number {
    return this.#words[this.#at(slot) + TARGET]! >>> TARGET_BITS
  }

  /** Written by recovery, before it queues a task again at the step where its worker has died. */
  setDeathsSeen(slot: number, step: number, deaths: number): void {
    this.#words[this.#at(slot) + TARGET] = (deaths << TARGET_BITS) | step
  }

  /** Written before a task becomes QUEUED: to which step it goes, and when. */
  setTarget(slot: number, step: number, now: number): void {
    this.#words[this.#at(slot) + TARGET] = step
    this.#doubles[(this.#at(slot) + QUEUED_AT) >> 1] = now
  }

  /** Written before a task becomes DONE: from then on it is on its way to its client. */
  setDone(slot: number, now: number): void {
    this.#doubles[(this.#at(slot) + QUEUED_AT) >> 1] = now
  }

  cancel(slot: number): void {
    Atomics.store(this.#words, this.#at(slot) + CANCEL, 1)
  }

  isCancelled(slot: number): boolean {
    return Atomics.load(this.#words, this.#at(slot) + CANCEL) === 1
  }

  outcome(slot: number): number {
    return this.#words[this.#endOf(slot) + OUTCOME]!
  }

  detail(slot: number): number {
    return this.#words[this.#endOf(slot) + DETAIL]!
  }

  /** Says whether a worker cannot hand the task over for want of memory: its caller hears of that at the deadline. */
  setWaitsForMemory(slot: number, waits: boolean): void {
    this.#words[this.#endOf(slot) + LACKS_MEMORY] = waits ? 1 : 0
  }

  waitsForMemory(slot: number): boolean {
    return this.#words[this.#endOf(slot) + LACKS_MEMORY] === 1
  }

  setOutcome(slot: number, outcome: number, detail = 0): void {
    const end = this.#endOf(slot)
    this.#words[end + OUTCOME] = outcome
    this.#words[end + DETAIL] = detail
  }

  /** The first block of the slot's list, or -1. */
  firstBlock(slot: number): number {
    return Atomics.load(this.#words, this.#at(slot) + FIRST_BLOCK) - 1
  }

  /** Whether the slot owns blocks; for the client whose slot it is. */
  hasBlocks(slot: number): boolean {
    return this.#words[this.#at(slot) + FIRST_BLOCK] !== 0
  }

  setFirstBlock(slot: number, block: number): void {
    Atomics.store(this.#words, this.#at(slot) + FIRST_BLOCK, block + 1)
  }

  /** Where in {@link bytes} the fields of a generation lie when they fit. */
  fieldsStart(slot: number, generation: number): number {
    return (this.#at(slot) + ((generation & 1) === 0 ? EVEN : this.#odd)) * 4
  }

  fieldsLength(slot: number, generation: number): number {
    return this.#words[this.#half(slot, generation)]!
  }

  /** The block that holds the fields of a generation, or -1 when they lie in the slot. */
  fieldsBlock(slot: number, generation: number): number {
    return this.#words[this.#half(slot, generation) + 1]! - 1
  }

  setFields(slot: number, generation: number, length: number, block: number): void {
    const at = this.#half(slot, generation)
    this.#words[at] = length
    this.#words[at + 1] = block + 1
  }

  /** Says where the time of a task went at a step, before it is handed over: it still says when it came into the queue. */
  setTiming(
    slot: number,
    step: number,
    queueMs: number,
    batchMs: number,
    handleMs: number,
    batchSize: number,
    untilQueuedMs: number,
  ): void {
    const at = this.#endOf(slot) + TIMINGS + step * TIMING_WORDS
    this.#floats[at] = queueMs
    this.#floats[at + 1] = batchMs
    this.#floats[at + 2] = handleMs
    this.#floats[at + 3] = batchSize
    this.#floats[at + 4] = untilQueuedMs
  }

  /** What was recorded at the steps. */
  timings(slot: number, totalMs: number): RecordedTimings {
    const floats = this.#floats
    const at = this.#endOf(slot) + TIMINGS
    // The first step's with the rest: an array that grows takes a place for twenty numbers at once.
    const timings: [number, ...number[]] = [
      totalMs,
      floats[at]!,
      floats[at + 1]!,
      floats[at + 2]!,
      floats[at + 3]!,
      floats[at + 4]!,
    ]
    const end = at + this.geometry.steps * TIMING_WORDS
    for (let cell = at + TIMING_WORDS; cell < end; cell++) timings.push(floats[cell]!)
    return timings
  }

  /** The last step before `step` that handled the task, by what was recorded there; -1 for none. */
  stepBefore(slot: number, step: number): number {
    const words = this.#endOf(slot) + TIMINGS + 3
    let before = step - 1
    while (before >= 0 && this.#words[words + before * TIMING_WORDS] === 0) before--
    return before
  }

  #at(slot: number): number {
    return this.#start + slot * this.#slotWords
  }

  #endOf(slot: number): number {
    return this.#at(slot) + this.#end
  }

  #half(slot: number, generation: number): number {
    return this.#at(slot) + HALF + (generation & 1) * 2
  }
}
