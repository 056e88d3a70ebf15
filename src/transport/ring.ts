/**
 * A bounded queue of task slots for many producers and many consumers, in shared memory.
 *
 * A cell holds either a task (slot and generation) or, when empty, the lap at which it may be filled next:
 *
 * ```
 *   EMPTY(lap) ──push──▶ TASK(slot, generation) ──take──▶ EMPTY(lap + 1)
 * ```
 *
 * - A push is one compare-and-swap on a cell: there is no moment between taking a place and filling it, so a producer
 *   that dies hides nobody. The lap in the empty cell makes the swap fail for a producer that has slept through one.
 * - `head` and `tail` are hints. Whoever finds one behind the cells moves it on, whoever died before doing so. Only a
 *   cell that `head` has passed is filled again: a task found at `head` is the one of that position.
 * - A cell says where a task waits; whether it still waits, and who takes it, is decided by the task's own state word
 *   (see task-table.ts). A cell whose task has gone elsewhere is stale: any consumer removes it in passing. So a
 *   cell may be lost or doubled by a death without harm, as long as recovery pushes again what is queued and in no
 *   ring.
 */
const HEAD = 0
const TAIL = 16 // on another cache line
const CELLS = 32

const TASK_BIT = 0x8000_0000 | 0

/** Generations count modulo 2^14, in cells as in state words. */
export const GENERATION_MASK = 0x3fff
/** The most task slots that a cell can name. */
export const MAX_SLOTS: number = 1 << 17

/** A cell's content: a negative number, so that it cannot be confused with an empty cell's lap. */
export const cellOf = (slot: number, generation: number): number =>
  TASK_BIT | (slot << 14) | generation
export const slotOf = (cell: number): number => (cell >>> 14) & (MAX_SLOTS - 1)
export const generationOf = (cell: number): number => cell & GENERATION_MASK

export class Ring {
  readonly #words: Int32Array
  readonly #head: number
  readonly #tail: number
  readonly #cells: number
  readonly #mask: number
  readonly #lapShift: number
  readonly #lapMask: number
  /** Where `head` was when this view looked last, as a producer; it can only have moved on. */
  #passed: number
  /** The position of the cell that {@link peek} returned last. */
  #peeked = 0
  /** Where the next cell is for who alone takes from the ring, see {@link takeAlone}. */
  #next: number

  /** How many words a ring of `capacity` cells (a power of two, at least 2) takes. */
  static wordsNeeded(capacity: number): number {
    return CELLS + capacity
  }

  constructor(words: Int32Array, start: number, capacity: number) {
    this.#words = words
    this.#head = start + HEAD
    this.#tail = start + TAIL
    this.#cells = start + CELLS
    this.#mask = capacity - 1
    this.#lapShift = 31 - Math.clz32(capacity)
    this.#lapMask = 0xffff_ffff >>> this.#lapShift
    this.#passed = this.#next = Atomics.load(words, this.#head)
  }

  get capacity(): number {
    return this.#mask + 1
  }

  /** Adds a cell at the end; false when every cell is in use. */
  push(cell: number): boolean {
    const words = this.#words
    for (;;) {
      // Read plainly: the swaps of the cell and of the tail itself fail if it is not so.
      const tail = words[this.#tail]!
      if (!this.#isPassed(tail)) {
        const head = (this.#passed = Atomics.load(words, this.#head))
        // A task of the lap before still sits here: the ring is full, unless only the head hint is behind.
        if (((tail - head) | 0) > this.#mask) {
          if (!this.#passEmptied(head)) return false
          continue
        }
      }
      const empty = tail >>> this.#lapShift
      const pushed =
        Atomics.compareExchange(words, this.#cells + (tail & this.#mask), empty, cell) === empty
      // If not, it has been filled (or even emptied again) by somebody who has not moved the hint on.
      Atomics.compareExchange(words, this.#tail, tail, (tail + 1) | 0)
      if (pushed) return true
    }
  }

  /** The first cell, or 0 when there is none. It stays where it is until {@link remove} is called with it. */
  peek(): number {
    const words = this.#words
    for (;;) {
      // Read plainly: that it is still the head once the cell was read is what counts.
      const head = words[this.#head]!
      const cell = Atomics.load(words, this.#cells + (head & this.#mask))
      if (cell < 0) {
        if (head === Atomics.load(words, this.#head)) {
          this.#peeked = head
          return cell
        }
        continue
      }
      if (cell === head >>> this.#lapShift) {
        if (head === Atomics.load(words, this.#head)) return 0
        continue
      }
      Atomics.compareExchange(words, this.#head, head, (head + 1) | 0)
    }
  }

  /**
   * Removes `cell`, which this view has just peeked, unless somebody else has: it is looked for at the position where it
   * was seen, since the same task may wait at a later one by now.
   */
  remove(cell: number): void {
    const words = this.#words
    const head = this.#peeked
    const at = this.#cells + (head & this.#mask)
    const next = ((head >>> this.#lapShift) + 1) & this.#lapMask
    if (Atomics.compareExchange(words, at, cell, next) === cell) {
      Atomics.compareExchange(words, this.#head, head, (head + 1) | 0)
    }
  }

  /**
   * Takes the first cell, for who alone takes from this ring; 0 when there is none. Without a swap, since nobody else
   * empties a cell; producers do not count on its place until {@link passTaken} is called.
   */
  takeAlone(): number {
    const words = this.#words
    for (;;) {
      const next = this.#next
      const at = this.#cells + (next & this.#mask)
      // Read plainly: of a task that is found here the state word is read next, by an atomic operation whose address hangs on
      // it. That there is none may be why its consumer goes to sleep: that is read in the order of its bell.
      const lap = next >>> this.#lapShift
      let cell = words[at]!
      if (cell === lap) cell = Atomics.load(words, at)
      if (cell === lap) return 0
      this.#next = (next + 1) | 0
      if (cell < 0) {
        words[at] = (lap + 1) & this.#lapMask
        return cell
      }
      // Emptied by who was here before, and died before it had moved the head.
    }
  }

  /** Moves the head past all that was taken with {@link takeAlone}: the cells are empty by then. */
  passTaken(): void {
    if (this.#words[this.#head] !== this.#next) Atomics.store(this.#words, this.#head, this.#next)
  }

  isEmpty(): boolean {
    return this.peek() === 0
  }

  /** Cells between head and tail, stale ones included. */
  get length(): number {
    const length =
      (Atomics.load(this.#words, this.#tail) - Atomics.load(this.#words, this.#head)) | 0
    return length < 0 ? 0 : length
  }

  /** Whether fewer than `most` cells are between head and tail. Looks at the consumers' cache line only where it has to. */
  isShorterThan(most: number): boolean {
    // Read plainly: one that is old makes a ring look shorter by what others push at this moment; that it is full is read in order.
    const ahead = (this.#words[this.#tail]! - this.#passed) | 0
    if (ahead >= 0 && ahead < most) return true
    this.#passed = Atomics.load(this.#words, this.#head)
    return this.length < most
  }

  /** Calls `visit` with each cell from head to tail that holds a task, while it returns true. A snapshot only. */
  forEach(visit: (cell: number) => boolean): void {
    const head = Atomics.load(this.#words, this.#head)
    const length = this.length
    for (let step = 0; step <= this.#mask; step++) {
      const cell = Atomics.load(this.#words, this.#cells + ((head + step) & this.#mask))
      if (cell < 0 && !visit(cell)) return
      if (cell >= 0 && step >= length) return // beyond the tail, which may itself be a hint behind
    }
  }

  /** Whether `head` is known to have passed the place of `position` in the lap before. */
  #isPassed(position: number): boolean {
    const ahead = (position - this.#passed) | 0
    return ahead >= 0 && ahead <= this.#mask
  }

  /** Moves a head hint on that points at a cell already emptied. */
  #passEmptied(head: number): boolean {
    const cell = Atomics.load(this.#words, this.#cells + (head & this.#mask))
    if (cell < 0) return head !== Atomics.load(this.#words, this.#head)
    Atomics.compareExchange(this.#words, this.#head, head, (head + 1) | 0)
    return true
  }
}
