import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodecError, FieldDecoder, FieldEncoder } from '../../src/transport/codec.ts'

const memory = new ArrayBuffer(4096)
const payloads = {
  place: (value: { readonly byteLength: number }) => ({
    block: 1,
    offset: 0,
    length: value.byteLength,
  }),
  open: (_block: number, offset: number, length: number) => {
    if (offset + length > memory.byteLength) throw new CodecError('AQ_CORRUPT', '', 'outside')
    return { buffer: memory, byteOffset: offset }
  },
}

const task = {
  id: 1,
  score: 0.5,
  label: 'a label',
  text: '漢字'.repeat(20),
  wild: '\ud800',
  big: [1n, 2n ** 100n],
  date: new Date(0),
  list: [1, [2, [3]], { x: 1, y: 2 }, { x: 3, y: 4 }, {}],
  map: new Map<unknown, unknown>([['k', { x: 1, y: null }]]),
  set: new Set([true, undefined]),
  error: new TypeError('t', { cause: Object.assign(new Error('c'), { code: 'X' }) }),
  floats: Float32Array.of(1, 2, 3),
  frame: new Float64Array(64),
  bare: Object.assign(Object.create(null) as object, { a: 1 }),
}
const region = new Uint8Array(8192)
const length = new FieldEncoder({ payloadThreshold: 128 }).encode(task, region, 0, 8192, payloads)
const encoding = region.slice(0, length)

/** Gives the decoded value, or undefined when the decoder said that the bytes are damaged. */
function decode(
  bytes: Uint8Array,
  start = 0,
  size = bytes.length,
  decoder = new FieldDecoder(),
): object | undefined {
  const target = {}
  try {
    decoder.decodeInto(target, bytes, start, size, payloads)
    return target
  } catch (error) {
    if (error instanceof CodecError && error.code === 'AQ_CORRUPT') return undefined
    throw error
  }
}

/** An encoding by hand: bytes, and words as `[value]`. */
function bytesOf(...parts: (number | [number] | string)[]): Uint8Array {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'number') return Buffer.of(part)
      if (typeof part === 'string') return Buffer.from(part, 'latin1')
      const word = Buffer.alloc(4)
      word.writeUInt32LE(part[0])
      return word
    }),
  )
}

/** A record with one field `a`, whose value is given, then its shape. */
function withValue(...value: (number | [number] | string)[]): Uint8Array {
  const body = bytesOf(...value)
  return Buffer.concat([bytesOf([4 + body.length]), body, bytesOf([0], [16], [1], 6, 1, 'a', 0)])
}

describe('damaged bytes give an error or a value, soon', () => {
  test('the encoding itself is sound', () => {
    expect(Object.keys(decode(encoding)!)).toEqual(Object.keys(task))
  })

  test('cut short anywhere', () => {
    for (let size = 0; size < length; size++) {
      expect(decode(encoding, 0, size)).toBeUndefined()
      expect(decode(encoding.slice(0, size))).toBeUndefined()
    }
  })

  test('one byte changed anywhere', { timeout: 60_000 }, () => {
    for (let index = 0; index < length; index++)
      for (const value of [0, 1, 6, 8, 13, 14, 18, 19, 20, 0x7f, 0xff]) {
        const damaged = encoding.slice()
        damaged[index] = value
        expect(() => decode(damaged)).not.toThrow()
      }
  })

  test('many bytes changed', () => {
    const change = fc.tuple(fc.nat(length - 1), fc.integer({ min: 0, max: 255 }))
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 30 }), (changes) => {
        const damaged = encoding.slice()
        for (const [index, value] of changes) damaged[index] = value
        decode(damaged)
      }),
      { numRuns: 3000 },
    )
  })

  test('no encoding at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        decode(bytes)
      }),
      { numRuns: 3000 },
    )
  })

  test('a decoder serves sound bytes after damaged ones', () => {
    const decoder = new FieldDecoder()
    for (let index = 0; index < length; index++) {
      const damaged = encoding.slice()
      damaged[index]! ^= 0x15
      decode(damaged, 0, length, decoder)
      const back: Partial<typeof task> = {}
      decoder.decodeInto(back, encoding, 0, length, payloads)
      expect(back.list).toStrictEqual(task.list)
    }
  })

  test('a region outside the bytes', () => {
    expect(decode(encoding, length - 4, 8)).toBeUndefined()
    expect(decode(encoding, -8, 8)).toBeUndefined()
    expect(decode(encoding, 0, NaN)).toBeUndefined()
  })
})

describe('lengths that lie', () => {
  test('the form of a record is as written here', () => {
    expect(decode(withValue(4, [7]))).toStrictEqual({ a: 7 })
  })

  const most: [number] = [0xffffffff]
  test.each([
    ['array', [13, most]],
    ['set', [17, most]],
    ['map', [16, most]],
    ['text', [8, most]],
    ['short text', [6, 255, 'abc']],
    ['wide text', [9, most]],
    ['bigint', [11, most]],
    ['binary', [19, 3, most]],
    ['object with a shape far away', [14, most]],
    ['digits that are none', [11, [3], 'xyz']],
    ['binary of half an element', [19, 11, [4], 'abcd']],
    ['binary of no kind', [19, 200, [0]]],
    ['error of no class', [18, 99, 7, 7, 7]],
    ['unknown tag', [77]],
  ] as [string, (number | [number] | string)[]][])('%s', (_name, value) => {
    expect(decode(withValue(...value))).toBeUndefined()
  })

  test('arrays nested without end', () => {
    const level = bytesOf(13, [1])
    expect(
      decode(withValue(...Array.from({ length: 5000 }, () => [...level]).flat())),
    ).toBeUndefined()
  })

  test('a payload at an impossible place', () => {
    for (const offset of [NaN, -8, 0.5, Infinity, 2 ** 60]) {
      const reference = Buffer.alloc(16)
      reference.writeDoubleLE(offset)
      reference.writeDoubleLE(8, 8)
      expect(decode(withValue(20, 3, [1], reference.toString('latin1')))).toBeUndefined()
    }
  })

  test('records that each point at another long shape cost no more than their bytes', () => {
    // Every 17 bytes begins a shape whose only name runs on for 100,000 bytes.
    const count = 20_000
    const named = 100_000
    const bytes = Buffer.alloc(4 + 5 + count * 6 + count * 17 + named)
    const shapes = 4 + 5 + count * 6
    bytes.writeUInt32LE(shapes, 0)
    bytes[4] = 13
    bytes.writeUInt32LE(count, 5)
    for (let index = 0; index < count; index++) {
      const record = 9 + index * 6
      bytes[record] = 14
      bytes.writeUInt32LE(shapes + index * 17, record + 1)
      const shape = shapes + index * 17
      bytes.writeUInt32LE(index, shape)
      bytes.writeUInt32LE(17 + named + 3, shape + 4)
      bytes.writeUInt32LE(1, shape + 8)
      bytes[shape + 12] = 8
      bytes.writeUInt32LE(named + 3, shape + 13)
    }
    const before = process.cpuUsage().user
    expect(decode(bytes)).toBeUndefined()
    expect(process.cpuUsage().user - before).toBeLessThan(5_000_000)
  })
})
