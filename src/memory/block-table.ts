import { type BlockGeometry, PAGE_BYTES } from './geometry.ts'

/**
 * The blocks of payload memory: who owns each, which are free, how much is in use.
 *
 * The truth about a block is its owner word. Everything else is a hint (the bitmap of free blocks) or a sum (the pages
 * in use), and both can be put right from the truth and from the note that an actor makes before it changes a block:
 *
 * ```
 *            allocate                       evict              punch
 *   COLD ───────────────▶ OWNED      WARM ────────▶ EVICTING ────────▶ COLD
 *   WARM ───────────────▶ OWNED ───────▶ WARM
 *            allocate            release
 * ```
 *
 * An owned block is changed by its owner alone. Only the two free states are contended, and leave by compare-and-swap.
 * A death before that swap changes nothing; a death after it leaves a block whose owner is named, and a note from
 * which {@link BlockTable.recover} completes the sums.
 */
const COLD = 0
const WARM = 1
const OWNER_IS_SLOT = 0x2000_0000
const OWNER_IS_ACTOR = 0x4000_0000
const EVICTING = 0x6000_0000

/** The owner word that names a task slot. */
export const ownedBySlot = (slot: number): number => OWNER_IS_SLOT | slot
/** The owner word that names a client whose program holds the payload. */
export const ownedByActor = (actor: number): number => OWNER_IS_ACTOR | actor

// A block's record.
const BLOCK_WORDS = 4
const OWNER = 0
const NEXT = 1 // the next block of the same slot, plus one; 0 ends the list; written by the owner
const QUARANTINED = 1 << 30 // in the same word: never to be used again
const MARK_EVEN = 2 // the even generation of the slot's fields that refers to the block
const MARK_ODD = 3 // the odd one

// An actor's record, one cache line each; written by that actor alone, or by the supervisor once it is dead.
const ACTOR_WORDS = 16
const ALLOCATED = 0 // pages, ever, modulo 2^32, as are the next three
const RELEASED = 1
const WARMED = 2
const COOLED = 3
const NOTE_KIND = 4
const NOTE_BLOCK = 5
const NOTE_OWNER = 6
const NOTE_BEFORE_USE = 7 // ALLOCATED or RELEASED before the change
const NOTE_BEFORE_WARM = 8 // WARMED or COOLED before the change

const NOTHING = 0
const ALLOCATING_WARM = 1
const ALLOCATING_COLD = 2
const RELEASING = 3
const COOLING = 4

const BITS = 32

export class BlockTable {
  readonly geometry: BlockGeometry
  readonly #words: Int32Array
  readonly #actorCount: number
  readonly #actor: number
  readonly #row: number
  readonly #waitersStart: number
  readonly #waiterWords: number
  readonly #hintStart: Int32Array
  readonly #highWater: number
  readonly #recordsStart: number
  readonly #coldFrom: Int32Array
  readonly #punch: (byteOffset: number, byteLength: number) => void
  readonly #onCooled: () => void
  #hasCooled = false

  /** How many words of control memory the table takes. */
  static wordsNeeded(geometry: BlockGeometry, actorCount: number): number {
    let hintWords = 0
    for (const { blocks } of geometry.classes) hintWords += Math.ceil(blocks / BITS)
    return (
      actorCount * ACTOR_WORDS +
      Math.ceil(actorCount / BITS) +
      hintWords +
      geometry.classes.length +
      geometry.totalBlocks * BLOCK_WORDS
    )
  }

  constructor(
    geometry: BlockGeometry,
    words: Int32Array,
    start: number,
    actorCount: number,
    actor: number,
    punch: (byteOffset: number, byteLength: number) => void,
    onCooled: () => void,
  ) {
    this.geometry = geometry
    this.#words = words
    this.#actorCount = actorCount
    this.#actor = actor
    this.#row = start + actor * ACTOR_WORDS
    this.#waitersStart = start + actorCount * ACTOR_WORDS
    this.#waiterWords = Math.ceil(actorCount / BITS)
    this.#hintStart = new Int32Array(geometry.classes.length)
    this.#coldFrom = new Int32Array(geometry.classes.length)
    let next = this.#waitersStart + this.#waiterWords
    geometry.classes.forEach(({ blocks }, index) => {
      this.#hintStart[index] = next
      next += Math.ceil(blocks / BITS)
    })
    this.#highWater = next
    this.#recordsStart = next + geometry.classes.length
    this.#punch = punch
    this.#onCooled = onCooled
  }

  /**
   * Takes a block of at least `bytes` for `owner`, a warm one if there is one. Returns -1 when that would bring the
   * pages in use above `limitPages` (checked, not reserved: actors that allocate at the same instant may overshoot by
   * one block each), when the payload fits no class, or when what is free is just being given back to the system by
   * others: `onCooled` is called at the end by who does that, since those who were refused meanwhile may wait.
   */
  allocate(bytes: number, owner: number, limitPages: number): number {
    const block = this.#take(bytes, owner, limitPages)
    this.#tellCooled()
    return block
  }

  #take(bytes: number, owner: number, limitPages: number): number {
    const smallest = this.geometry.classFor(bytes)
    if (smallest < 0) return -1
    const classes = this.geometry.classes
    for (let index = smallest; index < classes.length; index++) {
      const { pages, blocks } = classes[index]!
      if (this.pagesInUse() + pages > limitPages) return -1
      const warm = this.#takeWarm(index, owner)
      if (warm >= 0) return warm
      if (!this.#makeRoom(pages)) return -1
      const cold = this.#takeCold(index, owner)
      if (cold >= 0) return cold
      // Every block of the class is taken; that happens only to a class that is cut short.
      if (blocks * pages >= this.geometry.capPages) return -1
    }
    return -1
  }

  /** Gives back a block that the caller owns. One in quarantine stays in use for good. */
  release(block: number): void {
    if ((Atomics.load(this.#words, this.#record(block) + NEXT) & QUARANTINED) !== 0) return
    const pages = this.geometry.classOf(block).pages
    const record = this.#record(block)
    this.#note(RELEASING, block, Atomics.load(this.#words, record + OWNER), RELEASED, COOLED)
    Atomics.store(this.#words, record + OWNER, WARM)
    this.#hint(block)
    this.#count(RELEASED, pages)
    this.#noteDone()
  }

  /** Hands a block that the caller owns to another owner. */
  transfer(block: number, owner: number): void {
    Atomics.store(this.#words, this.#record(block) + OWNER, owner)
  }

  ownerOf(block: number): number {
    return Atomics.load(this.#words, this.#record(block) + OWNER)
  }

  /** The block after `block` in its owner's list, or -1. */
  next(block: number): number {
    return (Atomics.load(this.#words, this.#record(block) + NEXT) & ~QUARANTINED) - 1
  }

  setNext(block: number, next: number): void {
    const at = this.#record(block) + NEXT
    Atomics.store(this.#words, at, (Atomics.load(this.#words, at) & QUARANTINED) | (next + 1))
  }

  /** Puts a block out of use: somebody may read it that cannot be stopped from doing so. */
  quarantine(block: number): void {
    Atomics.or(this.#words, this.#record(block) + NEXT, QUARANTINED)
  }

  /** Says that the fields of `generation` refer to the block. Even and odd generations are kept apart. */
  mark(block: number, generation: number): void {
    Atomics.store(
      this.#words,
      this.#record(block) + (generation & 1 ? MARK_ODD : MARK_EVEN),
      generation + 1,
    )
  }

  clearMarks(block: number): void {
    Atomics.store(this.#words, this.#record(block) + MARK_EVEN, 0)
    Atomics.store(this.#words, this.#record(block) + MARK_ODD, 0)
  }

  isMarked(block: number, generation: number): boolean {
    return (
      Atomics.load(this.#words, this.#record(block) + (generation & 1 ? MARK_ODD : MARK_EVEN)) ===
      generation + 1
    )
  }

  /** Pages owned by anyone. */
  pagesInUse(): number {
    return this.#sum(ALLOCATED, RELEASED)
  }

  /** Pages that the system has given: those in use and those that are free but warm. */
  pagesCommitted(): number {
    return this.#sum(WARMED, COOLED)
  }

  /** Says that this actor waits for memory; the next release wakes it. */
  wait(): void {
    Atomics.or(this.#words, this.#waitersStart + (this.#actor >>> 5), 1 << (this.#actor & 31))
  }

  /** Takes the actors that wait for memory off the list and names each. */
  takeWaiters(wake: (actor: number) => void): void {
    for (let index = 0; index < this.#waiterWords; index++) {
      const at = this.#waitersStart + index
      if (Atomics.load(this.#words, at) === 0) continue
      let mask = Atomics.exchange(this.#words, at, 0)
      while (mask !== 0) {
        const bit = 31 - Math.clz32(mask & -mask)
        mask &= mask - 1
        wake(index * BITS + bit)
      }
    }
  }

  /** Calls `visit` with each block that has an owner. For recovery and for reports: it reads every block that was ever used. */
  forEachOwned(visit: (block: number, owner: number) => void): void {
    this.geometry.classes.forEach(({ firstBlock }, index) => {
      const end = firstBlock + Atomics.load(this.#words, this.#highWater + index)
      for (let block = firstBlock; block < end; block++) {
        const owner = Atomics.load(this.#words, this.#record(block) + OWNER)
        if (owner > WARM) visit(block, owner)
      }
    })
  }

  /** How many blocks have an owner. */
  blocksInUse(): number {
    let count = 0
    this.forEachOwned(() => count++)
    return count
  }

  /** Completes what a dead actor had begun, from its note. The supervisor calls it before the actor's number is used again. */
  recover(actor: number): void {
    const words = this.#words
    const row = this.#row + (actor - this.#actor) * ACTOR_WORDS
    const kind = Atomics.load(words, row + NOTE_KIND)
    const block = Atomics.load(words, row + NOTE_BLOCK)
    if (kind !== NOTHING && block >= 0 && block < this.geometry.totalBlocks) {
      const pages = this.geometry.classOf(block).pages
      const owner = Atomics.load(words, this.#record(block) + OWNER)
      const noted = Atomics.load(words, row + NOTE_OWNER)
      const uncounted = (counter: number, before: number): boolean =>
        Atomics.load(words, row + counter) === Atomics.load(words, row + before)
      if ((kind === ALLOCATING_WARM || kind === ALLOCATING_COLD) && owner === noted) {
        if (uncounted(ALLOCATED, NOTE_BEFORE_USE)) Atomics.add(words, row + ALLOCATED, pages)
        if (kind === ALLOCATING_COLD && uncounted(WARMED, NOTE_BEFORE_WARM))
          Atomics.add(words, row + WARMED, pages)
      } else if (kind === RELEASING && owner !== noted) {
        if (uncounted(RELEASED, NOTE_BEFORE_USE)) Atomics.add(words, row + RELEASED, pages)
        if (owner === WARM) this.#hint(block)
      } else if (kind === COOLING && owner === (EVICTING | actor)) {
        this.#punch(this.geometry.byteOffsetOf(block), pages * PAGE_BYTES)
        if (uncounted(COOLED, NOTE_BEFORE_WARM)) Atomics.add(words, row + COOLED, pages)
        Atomics.store(words, this.#record(block) + OWNER, COLD)
      }
      Atomics.store(words, row + NOTE_KIND, NOTHING)
    }
    Atomics.and(words, this.#waitersStart + (actor >>> 5), ~(1 << (actor & 31)))
    // It may have cleared the hint of a block that became free at that moment, and not set it again.
    this.geometry.classes.forEach(({ firstBlock }, index) => {
      const end = firstBlock + Atomics.load(words, this.#highWater + index)
      for (let free = firstBlock; free < end; free++)
        if (Atomics.load(words, this.#record(free) + OWNER) === WARM) this.#hint(free)
    })
  }

  #takeWarm(classIndex: number, owner: number): number {
    const words = this.#words
    const { firstBlock, blocks, pages } = this.geometry.classes[classIndex]!
    const start = this.#hintStart[classIndex]!
    const end = start + Math.ceil(blocks / BITS)
    for (let at = start; at < end; at++) {
      let mask = Atomics.load(words, at)
      while (mask !== 0) {
        const bit = 31 - Math.clz32(mask & -mask)
        mask &= mask - 1
        const block = firstBlock + (at - start) * BITS + bit
        const record = this.#record(block)
        if (Atomics.load(words, record + OWNER) !== WARM) {
          this.#dropHint(block)
          continue
        }
        this.#note(ALLOCATING_WARM, block, owner, ALLOCATED, WARMED)
        if (Atomics.compareExchange(words, record + OWNER, WARM, owner) === WARM) {
          this.#unhint(block)
          this.#count(ALLOCATED, pages)
          this.#noteDone()
          return block
        }
        this.#noteDone()
      }
    }
    return -1
  }

  /** Clears a stale hint. Whoever frees the block in between sets it again, or is seen by the second look. */
  #dropHint(block: number): void {
    this.#unhint(block)
    if (Atomics.load(this.#words, this.#record(block) + OWNER) === WARM) this.#hint(block)
  }

  #takeCold(classIndex: number, owner: number): number {
    const words = this.#words
    const { firstBlock, blocks, pages } = this.geometry.classes[classIndex]!
    const from = this.#coldFrom[classIndex]!
    for (let step = 0; step < blocks; step++) {
      const index = (from + step) % blocks
      const block = firstBlock + index
      const record = this.#record(block)
      if (words[record + OWNER] !== COLD) continue
      this.#raiseHighWater(classIndex, index + 1)
      this.#note(ALLOCATING_COLD, block, owner, ALLOCATED, WARMED)
      if (Atomics.compareExchange(words, record + OWNER, COLD, owner) === COLD) {
        this.#count(ALLOCATED, pages)
        this.#count(WARMED, pages)
        this.#noteDone()
        this.#coldFrom[classIndex] = (index + 1) % blocks
        return block
      }
      this.#noteDone()
    }
    return -1
  }

  /** Before a block is used for the first time: readers of the table look no further than the highest ever used. */
  #raiseHighWater(classIndex: number, to: number): void {
    const at = this.#highWater + classIndex
    for (let now = Atomics.load(this.#words, at); now < to;) {
      const found = Atomics.compareExchange(this.#words, at, now, to)
      if (found === now) return
      now = found
    }
  }

  /** Gives free warm blocks back to the system, large ones first, until `pages` more fit under the cap. */
  #makeRoom(pages: number): boolean {
    const { capPages, classes } = this.geometry
    if (this.pagesCommitted() + pages <= capPages) return true
    for (let index = classes.length - 1; index >= 0; index--) {
      const start = this.#hintStart[index]!
      const { firstBlock, blocks } = classes[index]!
      for (let at = start + Math.ceil(blocks / BITS) - 1; at >= start; at--) {
        let mask = this.#words[at]!
        while (mask !== 0) {
          const bit = 31 - Math.clz32(mask)
          mask &= ~(1 << bit)
          this.#cool(firstBlock + (at - start) * BITS + bit)
          if (this.pagesCommitted() + pages <= capPages) return true
        }
      }
    }
    return false
  }

  /** Gives every free block back to the system. */
  coolAll(): void {
    this.geometry.classes.forEach(({ firstBlock, blocks }, index) => {
      const start = this.#hintStart[index]!
      for (let at = start; at < start + Math.ceil(blocks / BITS); at++) {
        for (let mask = this.#words[at]!; mask !== 0; mask &= mask - 1) {
          this.#cool(firstBlock + (at - start) * BITS + 31 - Math.clz32(mask & -mask))
        }
      }
    })
    this.#tellCooled()
  }

  #tellCooled(): void {
    if (!this.#hasCooled) return
    this.#hasCooled = false
    this.#onCooled()
  }

  #cool(block: number): void {
    const words = this.#words
    const record = this.#record(block)
    const mine = EVICTING | this.#actor
    this.#note(COOLING, block, mine, RELEASED, COOLED)
    if (Atomics.compareExchange(words, record + OWNER, WARM, mine) === WARM) {
      const pages = this.geometry.classOf(block).pages
      this.#hasCooled = true
      this.#punch(this.geometry.byteOffsetOf(block), pages * PAGE_BYTES)
      this.#count(COOLED, pages)
      this.#unhint(block) // while nobody else can free it
      Atomics.store(words, record + OWNER, COLD)
    }
    this.#noteDone()
  }

  #hint(block: number): void {
    const { word, bit } = this.#hintOf(block)
    Atomics.or(this.#words, word, bit)
  }

  #unhint(block: number): void {
    const { word, bit } = this.#hintOf(block)
    Atomics.and(this.#words, word, ~bit)
  }

  #hintOf(block: number): { readonly word: number; readonly bit: number } {
    const classIndex = this.geometry.classIndexOf(block)
    const index = block - this.geometry.classes[classIndex]!.firstBlock
    return { word: this.#hintStart[classIndex]! + (index >>> 5), bit: 1 << (index & 31) }
  }

  #record(block: number): number {
    return this.#recordsStart + block * BLOCK_WORDS
  }

  #note(kind: number, block: number, owner: number, use: number, warm: number): void {
    const words = this.#words
    const row = this.#row
    Atomics.store(words, row + NOTE_BLOCK, block)
    Atomics.store(words, row + NOTE_OWNER, owner)
    Atomics.store(words, row + NOTE_BEFORE_USE, Atomics.load(words, row + use))
    Atomics.store(words, row + NOTE_BEFORE_WARM, Atomics.load(words, row + warm))
    Atomics.store(words, row + NOTE_KIND, kind)
  }

  #noteDone(): void {
    Atomics.store(this.#words, this.#row + NOTE_KIND, NOTHING)
  }

  #count(counter: number, pages: number): void {
    Atomics.add(this.#words, this.#row + counter, pages)
  }

  #sum(plus: number, minus: number): number {
    const first = this.#row - this.#actor * ACTOR_WORDS
    let sum = 0
    for (let actor = 0; actor < this.#actorCount; actor++) {
      const row = first + actor * ACTOR_WORDS
      const balance = Atomics.load(this.#words, row + plus) - Atomics.load(this.#words, row + minus)
      sum = (sum + balance) | 0
    }
    return sum
  }
}
