/** Blocks are measured in pages: the unit in which the system gives memory and takes it back. */
export const PAGE_BYTES = 4096

/** No class has more blocks than this; a class that is used up hands over to the next larger one. */
const MAX_BLOCKS_PER_CLASS = 65_536

export interface SizeClass {
  readonly pages: number
  readonly blocks: number
  /** Number of the class's first block among all blocks. */
  readonly firstBlock: number
  /** Where the class's first block begins in the payload mapping. */
  readonly byteOffset: number
}

/**
 * How payload memory is divided. Every size class has address space for the whole budget, so no mixture of sizes can
 * fragment it: what is limited is the pages in use, not the places for them.
 */
export class BlockGeometry {
  /** The most that may be in use at once, in pages. */
  readonly capPages: number
  readonly classes: readonly SizeClass[]
  readonly totalBlocks: number
  /** Address space of all classes, in bytes. */
  readonly payloadBytes: number

  constructor(capBytes: number) {
    this.capPages = Math.max(1, Math.floor(capBytes / PAGE_BYTES))
    const classes: SizeClass[] = []
    let firstBlock = 0
    let byteOffset = 0
    for (const pages of classSizes(this.capPages)) {
      const blocks = Math.min(MAX_BLOCKS_PER_CLASS, Math.ceil(this.capPages / pages))
      classes.push({ pages, blocks, firstBlock, byteOffset })
      firstBlock += blocks
      byteOffset += blocks * pages * PAGE_BYTES
    }
    this.classes = classes
    this.totalBlocks = firstBlock
    this.payloadBytes = byteOffset
  }

  /** Index of the smallest class that holds `bytes`, or -1 when none does. */
  classFor(bytes: number): number {
    const pages = Math.ceil(bytes / PAGE_BYTES)
    let low = 0
    let high = this.classes.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#at(middle).pages < pages) low = middle + 1
      else high = middle
    }
    return low === this.classes.length ? -1 : low
  }

  /** Pages of the largest class of at most `pages`; 0 when there is none. */
  largestWithin(pages: number): number {
    return this.classes.findLast((sizeClass) => sizeClass.pages <= pages)?.pages ?? 0
  }

  /** The class that `block` belongs to. */
  classOf(block: number): SizeClass {
    return this.#at(this.classIndexOf(block))
  }

  /** Index of the class that `block` belongs to. */
  classIndexOf(block: number): number {
    let low = 0
    let high = this.classes.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.#at(middle).firstBlock <= block) low = middle
      else high = middle - 1
    }
    return low
  }

  /** Where `block` begins in the payload mapping. */
  byteOffsetOf(block: number): number {
    const sizeClass = this.classOf(block)
    return sizeClass.byteOffset + (block - sizeClass.firstBlock) * sizeClass.pages * PAGE_BYTES
  }

  #at(index: number): SizeClass {
    return this.classes[index] as SizeClass // callers stay within the table
  }
}

/** 1, 2, 3, 4 pages, then four steps to each doubling: at most a fifth of a block lies idle. */
function* classSizes(capPages: number): Generator<number> {
  for (let step = 1; ; step *= 2) {
    for (let quarter = step === 1 ? 1 : 5; quarter <= 8; quarter++) {
      const pages = quarter * step
      if (pages > capPages) return
      yield pages
    }
  }
}
