import { maxEncodedBytes, tags } from './codec-format.ts'
import type { ValuePath } from './codec-path.ts'
import { noRegion, RegionCache, toRegion, type Region } from './codec-region.ts'

const leastScratchBytes = 4096
/** Scratch memory up to this size is kept from task to task. */
const mostKeptScratchBytes = 1024 * 1024
/** A loop beats a call into the runtime up to about this length. */
const loopedText = 24
const loopedWords = 32
/** What Latin-1 lacks. The engine, too, keeps one or two bytes for each, and so answers at once. */
const wideCharacter = /[\u0100-\uffff]/

/**
 * Where an encoding is written: the region that was given or, once that is full, scratch memory
 * that takes over what is written and grows. Offsets count from the first byte of the encoding and
 * survive the move.
 */
export class Output {
  readonly #path: ValuePath
  readonly #regions = new RegionCache()
  #region: Region = noRegion
  #start = 0
  #position = 0
  #end = 0
  #scratch: Region = noRegion

  constructor(path: ValuePath) {
    this.#path = path
  }

  begin(bytes: Uint8Array, start: number, end: number): void {
    if (!(start >= 0 && start <= end && end <= bytes.length))
      throw new RangeError(`No region [${start}, ${end}) in ${bytes.length} bytes`)
    if (this.#scratch.bytes.length > mostKeptScratchBytes) this.#scratch = noRegion
    this.#region = this.#regions.get(bytes)
    this.#start = this.#position = start
    this.#end = end
  }

  /** Bytes written. */
  get offset(): number {
    return this.#position - this.#start
  }

  /** Whether the region given was too small. */
  get spilled(): boolean {
    return this.#region === this.#scratch
  }

  /** All that was written, once it has spilled; valid until `begin`. */
  get overflow(): Uint8Array {
    return this.spilled ? this.#scratch.bytes.subarray(0, this.#position) : noRegion.bytes
  }

  #reserve(bytes: number): void {
    if (this.#position + bytes > this.#end) this.#spill(bytes)
  }

  #spill(bytes: number): void {
    const { bytes: full } = this.#region
    const written = this.offset
    if (written + bytes > maxEncodedBytes)
      throw this.#path.refusal(
        `makes the task larger than ${maxEncodedBytes} bytes`,
        'Send large data as Buffers or typed arrays.',
      )
    const wanted = Math.min(Math.max(2 * (written + bytes), leastScratchBytes), maxEncodedBytes)
    if (this.spilled || this.#scratch.bytes.length < wanted)
      this.#scratch = toRegion(new Uint8Array(wanted))
    this.#scratch.bytes.set(full.subarray(this.#start, this.#start + written))
    this.#region = this.#scratch
    this.#start = 0
    this.#position = written
    this.#end = this.#scratch.bytes.length
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#region.view.setUint8(this.#position++, value)
  }

  uint32(value: number): void {
    this.#reserve(4)
    this.#region.view.setUint32(this.#position, value, true)
    this.#position += 4
  }

  /** Overwrites what was written at `offset`. */
  setUint32(offset: number, value: number): void {
    this.#region.view.setUint32(this.#start + offset, value, true)
  }

  float64(value: number): void {
    this.#reserve(8)
    this.#region.view.setFloat64(this.#position, value, true)
    this.#position += 8
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#region.bytes.set(bytes, this.#position)
    this.#position += bytes.length
  }

  words(words: Int32Array): void {
    if (words.length > loopedWords) return this.bytes(new Uint8Array(words.buffer))
    this.#reserve(words.byteLength)
    const { view } = this.#region
    const position = this.#position
    for (let index = 0; index < words.length; index++)
      view.setInt32(position + index * 4, words[index]!, true)
    this.#position = position + words.byteLength
  }

  /** The words written since `offset`, up to a last whole one. */
  wordsSince(offset: number): Int32Array {
    const { view } = this.#region
    const words = new Int32Array((this.offset - offset) >> 2)
    for (let index = 0; index < words.length; index++)
      words[index] = view.getInt32(this.#start + offset + index * 4, true)
    return words
  }

  number(value: number): void {
    this.#reserve(9)
    const { view } = this.#region
    const position = this.#position
    if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
      view.setUint8(position, tags.int32)
      view.setInt32(position + 1, value, true)
      this.#position = position + 5
    } else {
      view.setUint8(position, tags.float64)
      view.setFloat64(position + 1, value, true)
      this.#position = position + 9
    }
  }

  bigint(value: bigint): void {
    if (BigInt.asIntN(64, value) === value) {
      this.byte(tags.bigint)
      this.#reserve(8)
      this.#region.view.setBigInt64(this.#position, value, true)
      this.#position += 8
      return
    }
    const digits = value.toString(16)
    this.byte(tags.longBigint)
    this.uint32(digits.length)
    this.#reserve(digits.length)
    this.#position += this.#region.buffer.latin1Write(digits, this.#position)
  }

  text(value: string): void {
    const { length } = value
    if (length === 0) return this.byte(tags.emptyText)
    if (length > loopedText) return this.#longText(value)
    this.#reserve(length + 2)
    const { buffer } = this.#region
    const position = this.#position
    for (let index = 0; index < length; index++) {
      const unit = value.charCodeAt(index)
      if (unit > 255) return this.#longText(value)
      buffer[position + 2 + index] = unit
    }
    buffer[position] = tags.shortText
    buffer[position + 1] = length
    this.#position = position + 2 + length
  }

  #longText(value: string): void {
    const wide = wideCharacter.test(value)
    const bytes = wide ? value.length * 2 : value.length
    this.#reserve(bytes + 5)
    const { buffer, view } = this.#region
    const position = this.#position
    view.setUint8(position, wide ? tags.wideText : tags.text)
    view.setUint32(position + 1, bytes, true)
    if (wide) buffer.ucs2Write(value, position + 5)
    else buffer.latin1Write(value, position + 5)
    this.#position = position + 5 + bytes
  }
}
