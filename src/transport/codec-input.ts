import { corrupt } from './codec-error.ts'
import { tags } from './codec-format.ts'
import { noRegion, RegionCache, type Region } from './codec-region.ts'

const { fromCharCode } = String

/** Where an encoding is read from: a region whose end no read may pass. */
export class Input {
  readonly #regions = new RegionCache()
  #region: Region = noRegion
  #start = 0
  #position = 0
  #end = 0

  begin(bytes: Uint8Array, start: number, length: number): void {
    if (!(start >= 0 && length >= 0 && start + length <= bytes.length))
      throw corrupt(`it claims ${length} bytes at ${start} of ${bytes.length}`)
    this.#region = this.#regions.get(bytes)
    this.#start = this.#position = start
    this.#end = start + length
  }

  /** Bytes read. */
  get offset(): number {
    return this.#position - this.#start
  }

  /** Goes on at `offset`, which is checked by the next read. */
  seek(offset: number): void {
    this.#position = this.#start + offset
  }

  /** Steps over `bytes` and gives the position of the first. */
  #take(bytes: number): number {
    const position = this.#position
    if (position + bytes > this.#end) throw corrupt('it ends too early')
    this.#position = position + bytes
    return position
  }

  byte(): number {
    return this.#region.view.getUint8(this.#take(1))
  }

  int32(): number {
    return this.#region.view.getInt32(this.#take(4), true)
  }

  uint32(): number {
    return this.#region.view.getUint32(this.#take(4), true)
  }

  float64(): number {
    return this.#region.view.getFloat64(this.#take(8), true)
  }

  /** A copy in an ArrayBuffer of its own. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    const position = this.#take(length)
    const copy = new Uint8Array(length) // only now: the length has been checked
    copy.set(this.#region.bytes.subarray(position, position + length))
    return copy
  }

  words(count: number): Int32Array {
    const position = this.#take(count * 4)
    const words = new Int32Array(count)
    for (let index = 0; index < count; index++)
      words[index] = this.#region.view.getInt32(position + index * 4, true)
    return words
  }

  /** Whether these words lie at `offset`. */
  hasWordsAt(words: Int32Array, offset: number): boolean {
    const { view } = this.#region
    const position = this.#start + offset
    if (position + words.byteLength > this.#end) return false
    for (let index = 0; index < words.length; index++)
      if (view.getInt32(position + index * 4, true) !== words[index]) return false
    return true
  }

  bigint(): bigint {
    return this.#region.view.getBigInt64(this.#take(8), true)
  }

  longBigint(): bigint {
    const length = this.uint32()
    const position = this.#take(length)
    const digits = this.#region.buffer.latin1Slice(position, position + length)
    return digits.startsWith('-') ? -BigInt(`0x${digits.slice(1)}`) : BigInt(`0x${digits}`)
  }

  /** A string with its tag. */
  taggedText(): string {
    return this.text(this.byte())
  }

  /** A string whose tag has been read. */
  text(tag: number): string {
    if (tag === tags.shortText) return this.#shortText()
    if (tag === tags.emptyText) return ''
    if (tag !== tags.text && tag !== tags.wideText) throw corrupt(`it has no text, but tag ${tag}`)
    const length = this.uint32()
    const position = this.#take(length)
    const { buffer } = this.#region
    return tag === tags.text
      ? buffer.latin1Slice(position, position + length)
      : buffer.ucs2Slice(position, position + length)
  }

  // Up to four characters are quicker made one by one than by a call into the runtime.
  #shortText(): string {
    const length = this.byte()
    const at = this.#take(length)
    const { buffer: b } = this.#region
    switch (length) {
      case 1:
        return fromCharCode(b[at]!)
      case 2:
        return fromCharCode(b[at]!, b[at + 1]!)
      case 3:
        return fromCharCode(b[at]!, b[at + 1]!, b[at + 2]!)
      case 4:
        return fromCharCode(b[at]!, b[at + 1]!, b[at + 2]!, b[at + 3]!)
      default:
        return b.latin1Slice(at, at + length)
    }
  }
}
