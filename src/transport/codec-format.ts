/**
 * The encoding of a task's fields. All numbers are little-endian and unaligned; offsets count
 * from the first byte of the encoding, so that it can be copied anywhere.
 *
 * ```text
 * encoding  record
 * record    shape:u32 (offset of the shape)  value × fields  [shape, if this is its first use]
 * shape     hash:u32  bytes:u32  fields:u32  value × fields (the names)  zeros up to 4 bytes
 * value     tag:u8 and what the tag says:
 *
 *   undefined, null, false, true, emptyText
 *   int32      i32                        float64, date  f64
 *   bigint     i64                        longBigint     bytes:u32, sign and hexadecimal digits
 *   shortText  bytes:u8, Latin-1          text           bytes:u32, Latin-1
 *   wideText   bytes:u32, UTF-16: whatever Latin-1 lacks, lone surrogates too, and quicker than UTF-8
 *   array, set count:u32, value × count   map            count:u32, (key value) × count
 *   object, bareObject (without prototype) record
 *   error      class:u8, name, message and stack as values, the other fields as a record
 *   binary     kind:u8 bytes:u32, the bytes
 *   payload    kind:u8 block:u32 offset:f64 bytes:f64 (the bytes lie in a block of the arena)
 * ```
 *
 * A shape (the names of an object's fields, in order) follows the values, because the writer
 * learns it while it writes them. It is stateless, so any process can read any message, yet
 * cheap: the writer copies prepared words, the reader compares words with those it has seen.
 * Objects of the same shape in one message share one.
 */
export const tags = {
  undefined: 0,
  null: 1,
  false: 2,
  true: 3,
  int32: 4,
  float64: 5,
  shortText: 6,
  emptyText: 7,
  text: 8,
  wideText: 9,
  bigint: 10,
  longBigint: 11,
  date: 12,
  array: 13,
  object: 14,
  bareObject: 15,
  map: 16,
  set: 17,
  error: 18,
  binary: 19,
  payload: 20,
} as const

/** Containers inside containers; deeper is refused, as is a cycle, which has no end. */
export const maxDepth = 128

/** Bytes of one encoding without its payloads. Offsets in it fit 32 bits. */
export const maxEncodedBytes: number = 256 * 1024 * 1024

/** Limits of a shape that is remembered; any other is built anew, at more cost. */
export const maxShapeFields = 64
export const maxShapeNameLength = 64
/** Bytes of all remembered shapes together, and how many; past either, all are forgotten. */
export const maxRememberedShapeBytes: number = 256 * 1024
export const maxRememberedShapes = 1024

/** Hash, length and number of fields. */
export const shapeHeaderBytes = 12

/**
 * Bytes of shapes that a reader looks at, for each byte of a message. An honest one stays below (a
 * remembered shape of the longest names, for values of one byte each); damaged ones could make
 * each record point at a long shape of its own.
 */
export const maxShapeWork = 256

/** Hash of a shape's words, the first excepted, which holds it. */
export function hashOf(words: Int32Array): number {
  let hash = 0x2f0b4c47
  for (let index = 1; index < words.length; index++)
    hash = Math.imul(hash ^ words[index]!, 0x01000193) ^ (hash >>> 15)
  return hash & hashMask
}
/** Keeps a hash a small integer, which is quicker to look up. */
export const hashMask = 0x3fffffff

/** Built-in errors by the number that stands for their class; an unknown class is `Error`. */
export const errorClasses: readonly (ErrorConstructor | AggregateErrorConstructor)[] = [
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
  AggregateError,
]

/** How to see `length` bytes at `offset` of a buffer as one kind of binary value. */
export interface BinaryKind {
  readonly name: string
  readonly elementBytes: number
  view(buffer: ArrayBuffer, offset: number, bytes: number): ArrayBuffer | ArrayBufferView
}

interface TypedArrayConstructor {
  readonly name: string
  readonly BYTES_PER_ELEMENT: number
  new (buffer: ArrayBuffer, offset: number, length: number): ArrayBufferView
}

function typedArray(constructor: TypedArrayConstructor): BinaryKind {
  const elementBytes = constructor.BYTES_PER_ELEMENT
  return {
    name: constructor.name,
    elementBytes,
    view: (buffer, offset, bytes) => new constructor(buffer, offset, bytes / elementBytes),
  }
}

// Node 24 has Float16Array, Node 22 does not; the library's type set is that of the latter.
const float16 = (globalThis as { Float16Array?: TypedArrayConstructor }).Float16Array

/** Binary values by the number that stands for their kind. */
export const binaryKinds: readonly BinaryKind[] = [
  {
    name: 'ArrayBuffer',
    elementBytes: 1,
    view: (buffer, offset, bytes) =>
      offset === 0 && bytes === buffer.byteLength ? buffer : buffer.slice(offset, offset + bytes),
  },
  {
    name: 'DataView',
    elementBytes: 1,
    view: (buffer, offset, bytes) => new DataView(buffer, offset, bytes),
  },
  {
    name: 'Buffer',
    elementBytes: 1,
    view: (buffer, offset, bytes) => Buffer.from(buffer, offset, bytes),
  },
  typedArray(Uint8Array),
  typedArray(Uint8ClampedArray),
  typedArray(Int8Array),
  typedArray(Uint16Array),
  typedArray(Int16Array),
  typedArray(Uint32Array),
  typedArray(Int32Array),
  typedArray(Float32Array),
  typedArray(Float64Array),
  typedArray(BigInt64Array),
  typedArray(BigUint64Array),
  ...(float16 ? [typedArray(float16)] : []),
]
