import { ownedByActor } from '../memory/block-table.ts'
import { PAGE_BYTES } from '../memory/geometry.ts'
import type { Control } from '../transport/control.ts'
import type { GarbageRelief } from './garbage.ts'
import type { Results } from './results.ts'
import type { Upload } from './upload.ts'

export interface UploadMemoryEvents {
  /** Whether a task waits for memory that has done so since before `since`. */
  readonly hasElder: (since: number) => boolean
  /** Those who wait for memory may find some now, or one of them has become the first to get it. */
  readonly onChance: () => void
}

/**
 * Gives blocks of a client to the bodies on their way to it.
 *
 * Who finds no memory waits. First come those who have a block already and need a larger one: what they hold comes back
 * only when they are done. Then, in the order of their arrival, those that have none, and the tasks that wait for
 * admission. So that bodies which grow can never all wait for each other, one gets a block only if after that they could
 * still come to their limits one after another (the banker's algorithm); what others hold comes back without them.
 */
export class UploadMemory {
  /** The largest block that there can ever be for a body, in bytes. */
  readonly largestBlock: number
  readonly #control: Control
  readonly #results: Results
  readonly #relief: GarbageRelief
  readonly #events: UploadMemoryEvents
  readonly #limitPages: number
  /** Those that have a block and do not know their size. */
  readonly #growing = new Set<Upload>()
  /** Those that wait, in order: with a block of theirs, and without. */
  readonly #growers = new Set<Upload>()
  readonly #starters = new Set<Upload>()
  #reliefTimer: NodeJS.Timeout | undefined

  constructor(
    control: Control,
    results: Results,
    relief: GarbageRelief,
    events: UploadMemoryEvents,
  ) {
    this.#control = control
    this.#results = results
    this.#relief = relief
    this.#events = events
    this.#limitPages = control.pageLimit(0)
    this.largestBlock = control.blocks.geometry.largestWithin(this.#limitPages) * PAGE_BYTES
  }

  /** Flow time since when the first of the waiting waits; Infinity if none does. */
  get waitingSince(): number {
    if (!this.#isAwaited) return Infinity
    for (const { wantedSince } of this.#growers) return wantedSince
    for (const { wantedSince } of this.#starters) return wantedSince
    return Infinity
  }

  /** Has an upload move into a block for what it wants, and go on, now or later. */
  give(upload: Upload): void {
    upload.wantedSince = this.#control.clock.now()
    if (this.#isNext(upload) && this.#tryToGive(upload)) return
    const waiting = upload.block < 0 ? this.#starters : this.#growers
    waiting.add(upload)
    this.#events.onChance()
  }

  /** Gives to those that wait, until there is nothing left. Whether anybody got any. */
  retry(): boolean {
    if (!this.#isAwaited) return false
    this.#control.blocks.wait() // before looking: what is released after the look wakes us
    let given = false
    for (const upload of this.#growers) if (this.#tryToGive(upload)) given = true
    for (const upload of this.#starters) {
      if (!this.#isNext(upload) || !this.#tryToGive(upload)) break
      given = true
    }
    if (this.#isAwaited) this.#relieve()
    return given
  }

  /** Forgets an upload that is over. Its block is not the upload's any more. */
  forget(upload: Upload): void {
    const waited = this.#growers.delete(upload) || this.#starters.delete(upload)
    if (this.#growing.delete(upload) || waited) queueMicrotask(() => this.#events.onChance())
  }

  free(block: number): void {
    this.#control.blocks.release(block)
    this.#control.wakeMemoryWaiters()
  }

  /** A body that grew may lie in far too large a block: no more than a fifth of it may be idle, as of any block. */
  trim(upload: Upload): void {
    const { received, capacity, block } = upload
    const isSmaller = this.#pagesFor(received) < this.#pagesOf(block)
    if (isSmaller && capacity - received > capacity / 5) this.#move(upload, received)
  }

  close(): void {
    clearTimeout(this.#reliefTimer)
  }

  get #isAwaited(): boolean {
    return this.#growers.size + this.#starters.size > 0
  }

  /** Who has a block goes before those that have none, and those in the order in which they came. */
  #isNext(upload: Upload): boolean {
    if (upload.block >= 0) return true
    if (this.#growers.size > 0 || this.#events.hasElder(upload.wantedSince)) return false
    for (const first of this.#starters) return first === upload
    return true
  }

  /** Twice what it has, or all that it may come to if a larger block could not follow. */
  #tryToGive(upload: Upload): boolean {
    const { limit, wanted, capacity } = upload
    const next = Math.min(limit, Math.max(wanted, 2 * capacity))
    if (!this.#tryToMove(upload, next) && (next === limit || !this.#tryToMove(upload, limit)))
      return false
    this.#growers.delete(upload)
    this.#starters.delete(upload)
    if (upload.grows) this.#growing.add(upload)
    upload.proceed()
    return true
  }

  #tryToMove(upload: Upload, bytes: number): boolean {
    const pages = this.#pagesFor(bytes)
    const inUse = this.#control.blocks.pagesInUse() - this.#pagesOf(upload.block)
    if (inUse + pages > this.#limitPages) return false
    return (!upload.grows || this.#isSafe(upload, pages)) && this.#move(upload, bytes)
  }

  /** Moves an upload into a block of its own for `bytes`. What it leaves is free at once, and so counts as free already. */
  #move(upload: Upload, bytes: number): boolean {
    const { blocks, actor } = this.#control
    const limit = this.#limitPages + this.#pagesOf(upload.block)
    const block = blocks.allocate(bytes, ownedByActor(actor), limit)
    if (block < 0) return false
    const left = upload.moveTo(block, this.#pagesOf(block) * PAGE_BYTES)
    if (left >= 0) this.free(left)
    return true
  }

  /**
   * Whether all that grow could still come to their limits, one after another, if `upload` had `pages`. Who moves has its
   * old block and the new one for a moment: together they have to be below the cap, and after that below the limit.
   */
  #isSafe(upload: Upload, pages: number): boolean {
    const { capPages } = this.#control.blocks.geometry
    let held = 0
    let unfinished = [...new Set([...this.#growing, upload])].map((other) => {
      const its = other === upload ? pages : this.#pagesOf(other.block)
      held += its
      return { held: its, limit: this.#pagesFor(other.limit) }
    })
    for (let before = Infinity; unfinished.length < before;) {
      before = unfinished.length
      unfinished = unfinished.filter((its) => {
        const canMove =
          held + its.limit <= capPages && held - its.held + its.limit <= this.#limitPages
        if (!canMove && its.held < its.limit) return true
        held -= its.held
        return false
      })
    }
    return unfinished.length === 0
  }

  #pagesOf(block: number): number {
    return block < 0 ? 0 : this.#control.blocks.geometry.classOf(block).pages
  }

  /** Pages of the blocks in which so many bytes lie. */
  #pagesFor(bytes: number): number {
    const { geometry } = this.#control.blocks
    return geometry.classes[geometry.classFor(bytes)]?.pages ?? 0
  }

  /** Somebody waits for memory: forgotten results may hold it. */
  #relieve(): void {
    if (this.#reliefTimer !== undefined || this.#results.heldBlocks === 0) return
    this.#reliefTimer = setTimeout(() => {
      this.#reliefTimer = undefined
      this.#events.onChance()
    }, this.#relief.relieve())
  }
}
