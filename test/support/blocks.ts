import { BlockTable, ownedByActor, ownedBySlot } from '../../src/memory/block-table.ts'
import { BlockGeometry, PAGE_BYTES } from '../../src/memory/geometry.ts'

const COLD = 0
const WARM = 1

/** Block tables of several actors over the same memory. */
export class SharedBlocks {
  readonly geometry: BlockGeometry
  readonly tables: readonly BlockTable[]
  /** Bytes that were given back to the system while somebody owned them: there must be none. */
  readonly robbed: number[] = []
  /** Actors that waited for memory, and were told to look again. */
  readonly rung: number[] = []
  readonly #words: Int32Array

  constructor(capPages: number, actors: number) {
    this.geometry = new BlockGeometry(capPages * PAGE_BYTES)
    this.#words = new Int32Array(BlockTable.wordsNeeded(this.geometry, actors))
    this.tables = Array.from({ length: actors }, (_, actor) => this.attach(actors, actor))
  }

  attach(actors: number, actor: number): BlockTable {
    const { geometry } = this
    const punch = (offset: number): void => {
      for (const block of this.owned()) {
        if (geometry.byteOffsetOf(block) === offset) this.robbed.push(block)
      }
    }
    return new BlockTable(geometry, this.#words, 0, actors, actor, punch, () => this.ring(actor))
  }

  /** Takes those who wait for memory off the list, and rings for them. */
  ring(actor: number): void {
    this.tables[actor]!.takeWaiters((waiter) => this.rung.push(waiter))
  }

  get #any(): BlockTable {
    return this.tables[0]!
  }

  pagesOf(block: number): number {
    return this.geometry.classOf(block).pages
  }

  /** Pages of the class in which so many pages are placed; Infinity when none is large enough. */
  pagesFor(pages: number): number {
    const index = this.geometry.classFor(pages * PAGE_BYTES)
    return index < 0 ? Infinity : this.geometry.classes[index]!.pages
  }

  /** The blocks of a slot or an actor. */
  owned(): number[] {
    return this.#blocks((owner) => owner > WARM && owner >>> 29 !== 3)
  }

  #blocks(accept: (owner: number) => boolean): number[] {
    const blocks: number[] = []
    for (let block = 0; block < this.geometry.totalBlocks; block++)
      if (accept(this.#any.ownerOf(block))) blocks.push(block)
    return blocks
  }

  #pages(blocks: readonly number[]): number {
    return blocks.reduce((sum, block) => sum + this.pagesOf(block), 0)
  }

  /** The sums as the owner words tell them: the truth. */
  counted(): { inUse: number; committed: number } {
    const inUse = this.#pages(this.owned())
    return { inUse, committed: inUse + this.#pages(this.#blocks((owner) => owner === WARM)) }
  }

  /** The sums as the table tells them. */
  told(): { inUse: number; committed: number } {
    return { inUse: this.#any.pagesInUse(), committed: this.#any.pagesCommitted() }
  }

  /** Releases everything that anybody owns. */
  releaseAll(): void {
    for (const block of this.owned()) this.#any.release(block)
  }

  /** Free blocks that nobody would find: the table knows them as warm, and yet cannot give them back to the system. */
  lost(): number[] {
    this.#any.coolAll()
    return this.#blocks((owner) => owner !== COLD)
  }

  /** How many blocks of each class can be had at once, all others being free; then they are free again. */
  available(): number[] {
    const { capPages, classes } = this.geometry
    return classes.map(({ pages }) => {
      let count = 0
      while (this.#any.allocate(pages * PAGE_BYTES, ownedByActor(0), capPages) >= 0) count++
      this.releaseAll()
      return count
    })
  }

  /** What {@link available} must be. */
  expectedAvailable(): number[] {
    const { capPages, classes } = this.geometry
    return classes.map(({ pages }) => Math.floor(capPages / pages))
  }
}

/** An owner that only `actor` uses. */
export const slotOf = (actor: number): number => ownedBySlot(100 + actor)
