import { BlockTable, ownedByActor } from '../../src/memory/block-table.ts'
import { BlockGeometry, PAGE_BYTES } from '../../src/memory/geometry.ts'
import { Leases } from '../../src/memory/leases.ts'
import { Mapping } from '../../src/memory/mapping.ts'

const CAP = 64 * PAGE_BYTES
const MINE = 1
const THEIRS = 0xee

/** One block, leased, and what becomes of it once the lease is over. */
export class LeasedBlock {
  readonly length: number
  readonly buffer: ArrayBuffer
  readonly blocks: BlockTable
  readonly leases: Leases
  readonly block: number
  readonly #mapping: Mapping

  constructor(length = 8192) {
    const geometry = new BlockGeometry(CAP)
    this.length = length
    this.#mapping = Mapping.create('test-leases', geometry.payloadBytes)
    const words = new Int32Array(BlockTable.wordsNeeded(geometry, 1))
    this.blocks = new BlockTable(
      geometry,
      words,
      0,
      1,
      0,
      () => undefined,
      () => undefined,
    )
    this.leases = new Leases(this.#mapping, this.blocks)
    this.block = this.blocks.allocate(length, ownedByActor(0), geometry.capPages)
    this.#fill(this.block, MINE)
    this.buffer = this.leases.open(this.block, 0, length)
  }

  /** Ends the lease and gives the memory to another task, which writes into it: all of it that there is. */
  passOn(): void {
    this.leases.close(this.buffer)
    this.blocks.release(this.block)
    const { capPages } = this.blocks.geometry
    for (;;) {
      const block = this.blocks.allocate(this.length, ownedByActor(0), capPages)
      if (block < 0) return
      this.#fill(block, THEIRS)
    }
  }

  #fill(block: number, byte: number): void {
    this.leases.withBytes(block, 0, this.length, (bytes) => bytes.fill(byte))
  }
}

/** What somebody reads: nothing, his own data, or somebody else's. */
export function readsWhat(bytes: Uint8Array): string {
  const seen = new Set(bytes)
  if (seen.size === 0) return 'nothing'
  return seen.size === 1 && seen.has(MINE) ? 'his own' : 'not his own'
}
