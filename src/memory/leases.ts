import type { BlockTable } from './block-table.ts'
import { PAGE_BYTES } from './geometry.ts'
import type { Mapping } from './mapping.ts'
import { type Seal, forgetSeal, seal, unseal } from './sealed-buffer.ts'

/** Where the bytes of a leased buffer lie. */
export interface LeasedRange {
  readonly block: number
  /** Bytes from the beginning of the block. */
  readonly offset: number
  /** The task slot for which a worker opened the lease; -1 for a client's. */
  readonly slot: number
  readonly seal: Seal | undefined
}

/** Buffers that are kept for the next lease of their block. */
const PARKED = 64

/**
 * Payloads handed out as ArrayBuffers, each lease one of its own. A lease ends when it is closed, which leaves an empty
 * buffer behind, or, where the holder is a program that may simply forget it, when the garbage collector finds the
 * buffer unreachable: no alias can outlive it, since every view holds its buffer.
 */
export class Leases {
  readonly #mapping: Mapping
  readonly #blocks: BlockTable
  readonly #ranges = new WeakMap<ArrayBuffer, LeasedRange>()
  readonly #parkedBlocks = new Int32Array(PARKED).fill(-1)
  readonly #parkedBuffers: (ArrayBuffer | undefined)[] = Array.from({ length: PARKED })

  constructor(mapping: Mapping, blocks: BlockTable) {
    this.#mapping = mapping
    this.#blocks = blocks
  }

  /** Opens a lease on `length` bytes of a block, for the task in `slot`, or for the program of a client (-1). */
  open(block: number, offset: number, length: number, slot = -1): ArrayBuffer {
    const buffer = this.#take(block, offset, length)
    this.#ranges.set(buffer, { block, offset, slot, seal: seal(buffer, slot < 0) })
    return buffer
  }

  /**
   * Ends a lease. Where buffers cannot be sealed, somebody may have moved the memory into a buffer of theirs: then the
   * block is put out of use.
   */
  close(buffer: ArrayBuffer): void {
    const range = this.#ranges.get(buffer)
    if (range === undefined) return
    this.#ranges.delete(buffer)
    if (range.seal !== undefined) unseal(buffer, range.seal)
    if (buffer.detached) this.#blocks.quarantine(range.block)
    else this.#park(range.block, range.offset, buffer)
  }

  /** Forgets a lease whose buffer the garbage collector has taken. */
  forget(range: LeasedRange): void {
    if (range.seal !== undefined) forgetSeal(range.seal)
  }

  /** The range that `buffer` leases, or undefined when it is no lease (or one that has ended). */
  rangeOf(buffer: ArrayBufferLike): LeasedRange | undefined {
    return this.#ranges.get(buffer as ArrayBuffer)
  }

  /** Lets `use` see bytes of a block that nobody else may see yet, and takes the view away again. */
  withBytes<Result>(
    block: number,
    offset: number,
    length: number,
    use: (bytes: Uint8Array) => Result,
  ): Result {
    const buffer = this.#take(block, offset, length)
    try {
      return use(new Uint8Array(buffer))
    } finally {
      this.#park(block, offset, buffer)
    }
  }

  /**
   * A buffer over the range: the one that was parked last for the block, if it is of that length, or a new one. Moving
   * the memory from one buffer to the next costs a fraction of making a buffer over native memory.
   */
  #take(block: number, offset: number, length: number): ArrayBuffer {
    const place = block % PARKED
    const parked = this.#parkedBuffers[place]
    if (parked === undefined || offset !== 0) return this.#view(block, offset, length)
    if (this.#parkedBlocks[place] !== block || parked.byteLength !== length) {
      return this.#view(block, offset, length)
    }
    this.#parkedBuffers[place] = undefined
    return parked.transfer()
  }

  /** Takes the memory out of a buffer that others have seen, and keeps it in one that nobody has. */
  #park(block: number, offset: number, buffer: ArrayBuffer): void {
    if (offset !== 0) {
      buffer.transfer(0)
      return
    }
    const place = block % PARKED
    this.#parkedBlocks[place] = block
    this.#parkedBuffers[place] = buffer.transfer()
  }

  #view(block: number, offset: number, length: number): ArrayBuffer {
    const { pages } = this.#blocks.geometry.classOf(block)
    if (
      block < 0 ||
      block >= this.#blocks.geometry.totalBlocks ||
      offset < 0 ||
      offset + length > pages * PAGE_BYTES
    ) {
      throw new RangeError(`bytes ${offset} to ${offset + length} lie outside block ${block}`)
    }
    return this.#mapping.view(this.#blocks.geometry.byteOffsetOf(block) + offset, length)
  }
}
