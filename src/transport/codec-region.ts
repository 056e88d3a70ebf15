/** Buffer's methods for one encoding: `toString` and `write` would look the encoding up. */
interface RawBuffer extends Buffer {
  latin1Slice(start: number, end: number): string
  ucs2Slice(start: number, end: number): string
  latin1Write(text: string, offset: number): number
  ucs2Write(text: string, offset: number): number
}

/** The same bytes as a Buffer, for text and bulk, and as a DataView, for numbers. */
export interface Region {
  readonly bytes: Uint8Array
  readonly buffer: RawBuffer
  readonly view: DataView
}

/** Nothing, to let go of a region. */
export const noRegion: Region = toRegion(new Uint8Array(0))

export function toRegion(bytes: Uint8Array): Region {
  const { buffer, byteOffset, byteLength } = bytes
  return {
    bytes,
    buffer: Buffer.from(buffer, byteOffset, byteLength) as RawBuffer,
    view: new DataView(buffer, byteOffset, byteLength),
  }
}

/** Remembers the views over a mapping: it is one large array for the life of a flow. */
export class RegionCache {
  #last: Region = noRegion
  readonly #others = new WeakMap<Uint8Array, Region>()

  get(bytes: Uint8Array): Region {
    return this.#last.bytes === bytes ? this.#last : this.#find(bytes)
  }

  #find(bytes: Uint8Array): Region {
    let region = this.#others.get(bytes)
    if (region === undefined) {
      region = toRegion(bytes)
      this.#others.set(bytes, region)
    }
    this.#last = region
    return region
  }
}
