import { ownedByActor } from '../memory/block-table.ts'
import type { LeasedRange } from '../memory/leases.ts'
import { canSeal } from '../memory/sealed-buffer.ts'
import type { PayloadOpener, PayloadPlacer, PayloadReference } from '../transport/codec.ts'
import type { Control } from '../transport/control.ts'
import { Payloads, exhausted } from '../transport/payloads.ts'
import { beingWritten } from './native-writes.ts'

const NONE: ArrayBuffer[] = []
const always = (): boolean => true

/** What the library keeps in a caller's task once it is finished. */
export interface Finished {
  /** The leases in which its payloads lie. */
  readonly buffers: readonly ArrayBuffer[]
  readonly results: Results
}

/**
 * The payloads that this client's program holds. A block stays while a result lies in it or a task in flight borrows
 * it: both are counted here, in the one process that owns the block.
 */
export class Results implements PayloadOpener, PayloadPlacer {
  readonly #control: Control
  readonly #payloads: Payloads
  /** By block: the leases and the borrowing tasks. */
  readonly #uses: Uint32Array
  #held = 0
  readonly #forgotten = new FinalizationRegistry<LeasedRange>((range) => {
    this.#control.leases.forget(range)
    this.#drop(range.block)
  })
  #lent: number[] = []
  #opened: ArrayBuffer[] = []
  #slot = 0
  #mayAllocate = always
  #onEmpty: (() => void) | undefined

  constructor(control: Control) {
    this.#control = control
    this.#uses = new Uint32Array(control.blocks.geometry.totalBlocks)
    this.#payloads = new Payloads(control)
  }

  /** Blocks that the program holds. */
  get heldBlocks(): number {
    return this.#held
  }

  /**
   * Begins to place the payloads of a task, with the memory that may be in use at `stage`; `mayAllocate` is asked before any
   * is taken, and false when somebody else has waited longer for it.
   */
  begin(
    slot: number,
    generation: number,
    stage: number,
    mayAllocate: () => boolean = always,
  ): void {
    this.#slot = slot
    if (this.#lent.length > 0) this.#lent = []
    this.#mayAllocate = mayAllocate
    this.#payloads.begin(slot, generation, stage)
  }

  /** Makes a block that the client owns a lease of the program's. */
  hold(block: number, length: number): ArrayBuffer {
    this.#use(block)
    return this.#lease(block, 0, length)
  }

  /** What {@link endForgotten} needs to know of a lease. */
  rangeOf(buffer: ArrayBuffer): LeasedRange | undefined {
    return this.#control.leases.rangeOf(buffer)
  }

  /** Ends a lease whose buffer the collector has taken, if it has not told so yet. */
  endForgotten(range: LeasedRange): void {
    if (!this.#forgotten.unregister(range)) return
    this.#control.leases.forget(range)
    this.#drop(range.block)
  }

  /** What the task just placed borrows from the program; give it to {@link giveBack} when the task is settled. */
  takeLent(): readonly number[] {
    return this.#lent
  }

  place(value: ArrayBuffer | ArrayBufferView): PayloadReference | undefined {
    const buffer = ArrayBuffer.isView(value) ? value.buffer : value
    const range = this.#control.leases.rangeOf(buffer)
    if (range === undefined) {
      if (!this.#mayAllocate()) throw exhausted
      return this.#payloads.place(value)
    }
    // A result of an earlier task: the block is shared, not copied.
    this.#use(range.block)
    this.#lent.push(range.block)
    const byteOffset = ArrayBuffer.isView(value) ? value.byteOffset : 0
    return { block: range.block, offset: range.offset + byteOffset, length: value.byteLength }
  }

  /** See {@link Payloads.missingPages}. */
  get missingPages(): number {
    return this.#payloads.missingPages
  }

  /** Pages that were placed since {@link begin}. */
  get placedPages(): number {
    return this.#payloads.placedPages
  }

  mayPlace(pages: number, stage: number): boolean {
    return this.#payloads.mayPlace(pages, stage)
  }

  allocate(length: number): number {
    if (!this.#mayAllocate()) throw exhausted
    return this.#payloads.allocate(length)
  }

  /** Takes back what was placed for a task that could not be admitted. */
  abandon(slot: number): void {
    this.giveBack(this.#lent)
    this.#lent = []
    this.#payloads.releaseAll(slot)
  }

  giveBack(blocks: readonly number[]): void {
    for (const block of blocks) this.#drop(block)
  }

  /** Begins to open the payloads of a finished task. */
  beginOpening(slot: number): void {
    this.#slot = slot
    this.#opened = []
  }

  /** The leases opened since {@link beginOpening}. */
  takeOpened(): readonly ArrayBuffer[] {
    const opened = this.#opened
    this.#opened = NONE // kept here, they would outlive the task that the program forgets
    return opened
  }

  open(
    block: number,
    offset: number,
    length: number,
  ): { readonly buffer: ArrayBuffer; readonly byteOffset: number } {
    const { leases } = this.#control
    if (!canSeal) {
      // Without a guard against being moved away, a lease could outlive its block: the program gets a copy.
      const copy = leases.withBytes(block, offset, length, (bytes) => bytes.slice().buffer)
      return { buffer: copy, byteOffset: 0 }
    }
    this.#adopt(block)
    const buffer = this.#lease(block, offset, length)
    this.#opened.push(buffer)
    return { buffer, byteOffset: 0 }
  }

  /** Releases all blocks that still belong to the slot. */
  releaseSlot(slot: number): void {
    this.#payloads.releaseAll(slot)
  }

  /**
   * Ends leases before the garbage collector would. A buffer that is still being written to a socket or a file is left
   * to the collector, which takes it once that is done.
   */
  release(buffers: readonly ArrayBuffer[]): void {
    const { leases } = this.#control
    const pinned = beingWritten(buffers)
    for (const buffer of buffers) {
      const range = leases.rangeOf(buffer)
      if (range === undefined || pinned.has(buffer)) continue
      this.#forgotten.unregister(range)
      leases.close(buffer)
      this.#drop(range.block)
    }
  }

  /** A lease that the program may simply forget. */
  #lease(block: number, offset: number, length: number): ArrayBuffer {
    const { leases } = this.#control
    const buffer = leases.open(block, offset, length)
    const range = leases.rangeOf(buffer)
    if (range !== undefined) this.#forgotten.register(buffer, range, range)
    return buffer
  }

  /** Makes the client the owner of a block that came with a finished task. */
  #adopt(block: number): void {
    const { blocks, tasks, actor } = this.#control
    if (this.#uses[block] === 0) {
      this.#unlink(block, tasks.firstBlock(this.#slot))
      blocks.transfer(block, ownedByActor(actor))
    }
    this.#use(block)
  }

  #unlink(block: number, first: number): void {
    const { blocks, tasks } = this.#control
    if (first === block) {
      tasks.setFirstBlock(this.#slot, blocks.next(block))
      return
    }
    for (let before = first; before >= 0; before = blocks.next(before)) {
      if (blocks.next(before) === block) {
        blocks.setNext(before, blocks.next(block))
        return
      }
    }
  }

  #use(block: number): void {
    if (this.#uses[block]!++ === 0) this.#held++
  }

  /**
   * Says that the client has ended: its blocks are released by nobody, or by who takes back what it left. Calls `onEmpty`
   * once the program holds none.
   */
  close(onEmpty: () => void): void {
    this.#onEmpty = onEmpty
    if (this.#held === 0) onEmpty()
  }

  #drop(block: number): void {
    if (this.#uses[block] === 0 || --this.#uses[block]! > 0) return
    this.#held--
    if (this.#onEmpty !== undefined) {
      if (this.#held === 0) this.#onEmpty()
      return
    }
    this.#control.blocks.release(block)
    this.#control.wakeMemoryWaiters()
  }
}
