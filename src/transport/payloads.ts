import { ownedByActor, ownedBySlot } from '../memory/block-table.ts'
import { PAGE_BYTES } from '../memory/geometry.ts'
import { CodecError, PayloadTooLargeError } from '../errors.ts'
import type { PayloadOpener, PayloadPlacer, PayloadReference } from './codec.ts'
import type { Control } from './control.ts'
import { GENERATION_MASK } from './ring.ts'
import { RUNNING, actorOf, stateOf } from './task-table.ts'

/** Thrown while fields are being encoded when shared memory is exhausted for now. Caught by whoever called the encoder. */
export class MemoryExhausted extends Error {}

export const exhausted: MemoryExhausted = new MemoryExhausted('shared memory is exhausted')

const GONE =
  'a payload of another task of the batch cannot be handed over after that task was; give each task a copy: payload.slice()'

/**
 * Places the payloads of one task in shared memory, and opens them again. A block belongs to its slot: it is linked
 * into the slot's list, and marked with the generation of the fields that refer to it. What a hand-over no longer
 * refers to is given back after it.
 */
export class Payloads implements PayloadPlacer, PayloadOpener {
  readonly #control: Control
  readonly #opened: ArrayBuffer[] = []
  #slot = 0
  #generation = 0
  #stage = 0
  #openedBytes = 0
  #placedBytes = 0
  #placedPages = 0
  #missingPages = 0
  #mostInUse = 0
  readonly #garbage: number[] = []

  constructor(control: Control) {
    this.#control = control
  }

  /** Says for which slot and generation the calls that follow are, and how many pages may be in use at that stage. */
  begin(slot: number, generation: number, stage: number): void {
    this.#slot = slot
    this.#generation = generation
    this.#stage = stage
    this.#openedBytes = this.#placedBytes = this.#placedPages = 0
  }

  place(value: ArrayBuffer | ArrayBufferView): PayloadReference | undefined {
    const buffer = ArrayBuffer.isView(value) ? value.buffer : value
    const byteOffset = ArrayBuffer.isView(value) ? value.byteOffset : 0
    const length = value.byteLength
    const { blocks, leases } = this.#control
    const range = leases.rangeOf(buffer)
    if (range !== undefined && range.slot === this.#slot) {
      if (blocks.ownerOf(range.block) === ownedBySlot(this.#slot))
        blocks.mark(range.block, this.#generation)
      this.#placedBytes += length
      return { block: range.block, offset: range.offset + byteOffset, length }
    }
    if (range !== undefined && !this.#isHeld(range.slot))
      throw new CodecError('AQ_UNSERIALIZABLE', GONE, '')
    const block = this.allocate(length)
    leases.withBytes(block, 0, length, (bytes) => {
      bytes.set(new Uint8Array(buffer as ArrayBuffer, byteOffset, length))
    })
    this.#placedBytes += length
    return { block, offset: 0, length }
  }

  /**
   * Takes a block for the slot and marks it. Throws {@link MemoryExhausted} when there is none now, and a
   * PayloadTooLargeError when there never will be, since what the task itself holds leaves too little.
   */
  allocate(length: number): number {
    const control = this.#control
    const { blocks, tasks } = control
    const { geometry } = blocks
    const pages = geometry.classes[geometry.classFor(length)]?.pages ?? 0
    const limit = control.pageLimitNow(this.#stage, this.#heldPages() + pages)
    const block = blocks.allocate(length, ownedBySlot(this.#slot), limit)
    if (block < 0) {
      this.#missingPages = this.#placedPages + pages
      this.#mostInUse = limit - this.#missingPages
      throw this.#tooLarge(length) ?? exhausted
    }
    this.#placedPages += blocks.geometry.classOf(block).pages
    blocks.setNext(block, tasks.firstBlock(this.#slot))
    tasks.setFirstBlock(this.#slot, block)
    blocks.clearMarks(block)
    blocks.mark(block, this.#generation)
    return block
  }

  /**
   * Pages that the task that found memory exhausted last would have needed: for all its payloads up to the one for which
   * there was no block. As long as there are not so many, to try again would only take memory for a moment, and wake
   * others in vain when it is given back.
   */
  get missingPages(): number {
    return this.#missingPages
  }

  /** Pages that may be in use for that task to get them. */
  get mostInUse(): number {
    return this.#mostInUse
  }

  /** Bytes of the payloads that are in their place since {@link begin}, copied there or not. */
  get placedBytes(): number {
    return this.#placedBytes
  }

  /** Pages that were placed since {@link begin}. */
  get placedPages(): number {
    return this.#placedPages
  }

  /** Whether so many pages are free for a task that is to be admitted, and no worker waits for them. */
  mayPlace(pages: number, stage: number): boolean {
    const { blocks, needs } = this.#control
    const inUse = blocks.pagesInUse()
    return (
      inUse + pages <= this.#control.pageLimitNow(stage, pages) && needs.mostInUse() === Infinity
    )
  }

  /** Pages of the blocks in the slot's list. */
  #heldPages(): number {
    const { blocks, tasks } = this.#control
    let held = 0
    for (let block = tasks.firstBlock(this.#slot); block >= 0; block = blocks.next(block))
      held += blocks.geometry.classOf(block).pages
    return held
  }

  /** Whether this worker still has the task in `slot`: once that is handed over, its payloads may be anybody's. */
  #isHeld(slot: number): boolean {
    const word = this.#control.tasks.word(slot)
    return stateOf(word) === RUNNING && actorOf(word) === this.#control.actor
  }

  #tooLarge(length: number): PayloadTooLargeError | undefined {
    const { geometry } = this.#control.blocks
    const limit = this.#control.pageLimit(this.#stage)
    const held = this.#heldPages()
    const largest = geometry.largestWithin(limit)
    if (length <= geometry.largestWithin(limit - held) * PAGE_BYTES) return undefined
    return new PayloadTooLargeError(held * PAGE_BYTES + length, largest * PAGE_BYTES)
  }

  open(
    block: number,
    offset: number,
    length: number,
  ): { readonly buffer: ArrayBuffer; readonly byteOffset: number } {
    const buffer = this.#control.leases.open(block, offset, length, this.#slot)
    this.#opened.push(buffer)
    this.#openedBytes += length
    return { buffer, byteOffset: 0 }
  }

  /** Bytes of the payloads that were opened since {@link begin}. */
  get openedBytes(): number {
    return this.#openedBytes
  }

  /**
   * Puts the blocks out of use whose payloads the handler has moved into buffers of its own, where that could not be
   * prevented: before anything is handed over or released, since the blocks could be others' after that.
   */
  quarantineMoved(): void {
    const { blocks, leases } = this.#control
    for (const buffer of this.#opened) {
      const range = buffer.detached ? leases.rangeOf(buffer) : undefined
      if (range !== undefined) blocks.quarantine(range.block)
    }
  }

  /** Ends every lease that was opened since the last call. */
  closeAll(): void {
    if (this.#opened.length === 0) return // to empty an array that is empty takes longer than one would think
    for (const buffer of this.#opened) this.#control.leases.close(buffer)
    this.#opened.length = 0
  }

  /**
   * Takes out of the slot's list what the fields of `generation` do not refer to, before that generation counts. Such a
   * block belongs to this actor meanwhile, and remembers its slot, so that recovery can give it back should the swap
   * of the state word never come.
   */
  unlinkUnmarked(slot: number, generation: number): void {
    const { blocks, tasks, actor } = this.#control
    let last = -1
    for (let block = tasks.firstBlock(slot); block >= 0;) {
      const next = blocks.next(block)
      if (blocks.isMarked(block, generation)) {
        last = block
      } else {
        if (last < 0) tasks.setFirstBlock(slot, next)
        else blocks.setNext(last, next)
        blocks.setNext(block, slot)
        blocks.transfer(block, ownedByActor(actor))
        this.#garbage.push(block)
      }
      block = next
    }
  }

  /** Releases what {@link unlinkUnmarked} took out. */
  releaseUnlinked(): void {
    if (this.#garbage.length === 0) return
    for (const block of this.#garbage) this.#control.blocks.release(block)
    this.#garbage.length = 0
    this.#control.wakeMemoryWaiters()
  }

  /** Releases what was placed for `generation` alone: the fields could not be completed, and will be encoded again. */
  abandon(slot: number, generation: number): void {
    const { blocks, tasks } = this.#control
    const before = (generation - 1) & GENERATION_MASK
    let last = -1
    let released = false
    for (let block = tasks.firstBlock(slot); block >= 0;) {
      const next = blocks.next(block)
      if (blocks.isMarked(block, generation) && !blocks.isMarked(block, before)) {
        if (last < 0) tasks.setFirstBlock(slot, next)
        else blocks.setNext(last, next)
        blocks.release(block)
        released = true
      } else {
        last = block
      }
      block = next
    }
    if (released) this.#control.wakeMemoryWaiters()
  }

  /** Releases every block of a slot that the caller owns alone. */
  releaseAll(slot: number): void {
    const { blocks, tasks } = this.#control
    if (!tasks.hasBlocks(slot)) return
    let block = tasks.firstBlock(slot)
    tasks.setFirstBlock(slot, -1)
    while (block >= 0) {
      const next = blocks.next(block)
      blocks.release(block)
      block = next
    }
    this.#control.wakeMemoryWaiters()
  }
}
