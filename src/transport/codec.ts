import type { PayloadOpener, PayloadPlacer } from './codec-payload.ts'
import { ValueReader } from './codec-reader.ts'
import { ValueWriter } from './codec-writer.ts'

export { CodecError } from '../errors.ts'
export type { PayloadOpener, PayloadPlacer, PayloadReference } from './codec-payload.ts'

/** Options of {@link FieldEncoder}. */
export interface FieldEncoderOptions {
  /** Binary values of at least so many bytes are offered to the placer. */
  readonly payloadThreshold: number
}

/**
 * Writes the own enumerable fields of a task (those with string keys) as bytes.
 *
 * Plain data travels: undefined, null, boolean, number, bigint, string, Date, Map, Set, arrays
 * (holes become undefined), plain objects, typed arrays, DataView, Buffer, ArrayBuffer and Error.
 * Anything else is a `CodecError` that names the field. An object that is referenced twice arrives
 * as two copies; one that contains itself is refused. Only the class of an error that is not
 * built in is lost: it arrives as its nearest built-in class, with its name and its fields.
 *
 * @example
 * ```ts
 * const encoder = new FieldEncoder({ payloadThreshold: 32 * 1024 })
 * const written = encoder.encode(task, slots, start, start + 256, placer)
 * const encoding = written < 0 ? encoder.overflow : slots.subarray(start, start + written)
 * ```
 */
export class FieldEncoder {
  readonly #writer: ValueWriter

  constructor(options: FieldEncoderOptions) {
    this.#writer = new ValueWriter(options.payloadThreshold)
  }

  /**
   * Writes the fields of `task` to `bytes[start, end)`. Returns the bytes written, or -1 when they
   * do not fit: then `overflow` is the whole encoding, and `bytes[start, end)` holds nothing of
   * use. Either way each payload has been placed once.
   *
   * @throws CodecError `AQ_UNSERIALIZABLE` when a value cannot travel. Payloads that were placed
   *   before are the placer's to take back.
   */
  encode(
    task: object,
    bytes: Uint8Array,
    start: number,
    end: number,
    placer: PayloadPlacer,
  ): number {
    return this.#writer.write(task, bytes, start, end, placer)
  }

  /** The encoding that did not fit, valid until the next call of `encode`. */
  get overflow(): Uint8Array {
    return this.#writer.overflow
  }

  /** Shapes of objects remembered to write them faster; bounded, whatever the tasks hold. */
  get remembered(): { readonly shapes: number; readonly bytes: number } {
    return this.#writer.shapes.size
  }
}

/**
 * Reads what a {@link FieldEncoder} wrote, in any process. Robust against damaged bytes: it throws
 * a `CodecError`, or gives some other plain data; it takes time and memory in proportion to
 * `length`.
 */
export class FieldDecoder {
  readonly #reader = new ValueReader()

  /**
   * Defines the encoded fields on `target`, in their order, and with `prune` deletes its other own
   * enumerable fields. Inline binary values come as copies in an ArrayBuffer of their own.
   *
   * @throws CodecError `AQ_CORRUPT` when the bytes are damaged; `target` may have some of the
   *   fields by then.
   */
  decodeInto(
    target: object,
    bytes: Uint8Array,
    start: number,
    length: number,
    opener: PayloadOpener,
    prune = false,
  ): void {
    const shape = this.#reader.read(target, bytes, start, length, opener)
    if (prune && !shape.isWholeOf(target)) shape.prune(target)
  }

  /** Shapes of objects remembered to read them faster; bounded, whatever the bytes are. */
  get remembered(): { readonly shapes: number; readonly bytes: number } {
    return this.#reader.shapes.size
  }
}
