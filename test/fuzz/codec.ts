import assert from 'node:assert/strict'
import { isDeepStrictEqual, types } from 'node:util'
import fc from 'fast-check'
import { CodecError, FieldDecoder, FieldEncoder } from '../../src/transport/codec.ts'

const THRESHOLD = 64
const block = new ArrayBuffer(1 << 16)

/** One block, from whose beginning each message places its payloads. */
class Place {
  #end = 0

  place(value: ArrayBuffer | ArrayBufferView) {
    const bytes = ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value)
    const offset = this.#end
    new Uint8Array(block).set(bytes, offset)
    this.#end = Math.ceil((offset + bytes.length) / 64) * 64
    return { block: 1, offset, length: bytes.length }
  }

  open(_block: number, offset: number, length: number) {
    if (offset + length > block.byteLength) throw new CodecError('AQ_CORRUPT', 'outside', '')
    return { buffer: block, byteOffset: offset }
  }
}

/** Names that mean something to an engine which assigns where it should define. */
const names = fc.oneof(
  fc.string({ maxLength: 8 }),
  fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'then', 'length', '0', ''),
)
const binary = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.float64Array({ maxLength: 20 }),
  fc.int16Array({ maxLength: 40 }),
  fc.uint8Array({ maxLength: 100 }).map((bytes) => bytes.slice().buffer),
)
const { value: values } = fc.letrec<{ value: unknown; record: object }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(
      fc.constantFrom<unknown>(undefined, null, true, false, -0, NaN, Infinity),
      fc.integer(),
      fc.double(),
      fc.bigInt(),
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.date({ noInvalidDate: false }),
      binary,
    ),
    tie('record'),
    fc.array(tie('value'), { maxLength: 6 }),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 4 }).map((pairs) => new Map(pairs)),
    fc.array(tie('value'), { maxLength: 4 }).map((members) => new Set(members)),
    fc
      .tuple(fc.constantFrom(Error, TypeError, RangeError), fc.string(), tie('value'))
      .map(([Class, message, cause]) =>
        Object.assign(new Class(message, { cause }), { code: 'X' }),
      ),
  ),
  record: fc.dictionary(names, tie('value'), { maxKeys: 6 }),
}))
const tasks = fc.dictionary(names, values, { maxKeys: 8, noNullPrototype: true })

const encoder = new FieldEncoder({ payloadThreshold: THRESHOLD })
/** One for all messages: what it remembers of damaged ones must not hurt the others. */
const decoder = new FieldDecoder()

function encode(task: object): Uint8Array {
  const bytes = new Uint8Array(512)
  const written = encoder.encode(task, bytes, 0, bytes.length, new Place())
  return written < 0 ? encoder.overflow.slice() : bytes.slice(0, written)
}

function decode(bytes: Uint8Array): object | undefined {
  const task = {}
  try {
    decoder.decodeInto(task, bytes, 0, bytes.length, new Place())
    return task
  } catch (error) {
    if (error instanceof CodecError && error.code === 'AQ_CORRUPT') return undefined
    throw error
  }
}

const plainPrototypes = new Set<unknown>([
  null,
  ...[Object, Array, Map, Set, Date, ArrayBuffer, DataView, Buffer].map((it) => it.prototype),
  ...[Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError].map(
    (it) => it.prototype,
  ),
  AggregateError.prototype,
])
const isPlain = (value: object): boolean =>
  types.isTypedArray(value) || plainPrototypes.has(Object.getPrototypeOf(value))

/** Counts what a message has built, and asserts that all of it is plain data. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return 1 + value.length
  if (typeof value === 'bigint') return 1 + value.toString(16).length
  assert.notEqual(typeof value, 'function')
  assert.notEqual(typeof value, 'symbol')
  if (typeof value !== 'object' || value === null) return 1
  assert.ok(isPlain(value), 'an instance of a class')
  if (ArrayBuffer.isView(value)) return value.buffer === block ? 1 : 1 + value.byteLength
  if (types.isAnyArrayBuffer(value)) return value === block ? 1 : 1 + value.byteLength
  let size = 1
  if (types.isMap(value)) for (const [key, held] of value) size += sizeOf(key) + sizeOf(held)
  if (types.isSet(value)) for (const held of value) size += sizeOf(held)
  for (const name of Reflect.ownKeys(value)) {
    const field = Object.getOwnPropertyDescriptor(value, name)!
    assert.ok('value' in field, 'a getter')
    size += sizeOf(field.value)
  }
  return size
}

/** What is shared by all objects of this process, and must stay as it is. */
const shared = [Object, Array, Map, Set, Date, Error, Uint8Array, Function].flatMap((it) => [
  it,
  it.prototype,
])
const fingerprint = (): string =>
  shared.map((it) => Reflect.ownKeys(it).map(String).join()).join('|')
const unpolluted = fingerprint()

/** Values come back as they were. */
export const roundTrips = fc.property(tasks, (task) => {
  const back = decode(encode(task))
  assert.ok(back !== undefined, 'its own encoding is refused')
  assert.ok(isDeepStrictEqual({ ...back }, { ...task }), 'another value came back')
  assert.deepEqual(Reflect.ownKeys(back), Reflect.ownKeys(task))
})

const damages = fc.array(
  fc.oneof(
    fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) }),
    fc.record({
      at: fc.nat(),
      word: fc.oneof(fc.nat(64), fc.constantFrom(0x7fff_ffff, 0xffff_ffff)),
    }),
    fc.record({ at: fc.nat(), cut: fc.nat(8) }),
    fc.record({ at: fc.nat(), from: fc.nat(), count: fc.nat(40) }),
  ),
  { minLength: 1, maxLength: 12 },
)

type Damage = typeof damages extends fc.Arbitrary<(infer One)[]> ? One : never

function damage(bytes: Uint8Array, harm: Damage): Uint8Array {
  if (bytes.length === 0) return bytes
  const at = harm.at % bytes.length
  if ('byte' in harm) bytes[at] = harm.byte
  else if ('word' in harm)
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(
      Math.max(0, Math.min(at, bytes.length - 4)),
      harm.word,
      true,
    )
  else if ('cut' in harm)
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + harm.cut)])
  else bytes.copyWithin(at, harm.from % bytes.length, (harm.from % bytes.length) + harm.count)
  return bytes
}

/** Damaged bytes give an error, or some other plain data, in proportion to their length; and nobody else suffers. */
export const survivesDamage = fc.property(tasks, damages, (task, harms) => {
  const sound = encode(task)
  let bytes: Uint8Array = Buffer.concat([sound, Buffer.alloc(4)])
  for (const harm of harms) bytes = damage(bytes, harm)
  const start = process.cpuUsage()
  const built = decode(bytes)
  const { user } = process.cpuUsage(start)
  assert.ok(user < 1_000_000, `it took ${user} µs`)
  if (built !== undefined)
    assert.ok(sizeOf(built) <= 64 * (bytes.length + 64), 'far more than came')
  assert.equal(fingerprint(), unpolluted)
  const back = decode(sound)
  assert.ok(isDeepStrictEqual({ ...back }, { ...task }), 'sound bytes are not read any more')
})
