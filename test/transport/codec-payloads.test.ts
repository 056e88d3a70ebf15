import { describe, expect, test } from 'vitest'
import { FieldDecoder, FieldEncoder } from '../../src/transport/codec.ts'
import { Block, inline, roundTrip } from './codec-fixture.ts'

describe('binary values', () => {
  test('go through the placer from the threshold on, each once, wherever they are', () => {
    const block = new Block()
    const frame = new Float32Array(16).fill(0.5)
    const task = {
      small: new Uint8Array(63),
      frame,
      nested: [{ map: new Map([['b', Buffer.alloc(64, 1)]]) }],
      words: BigInt64Array.of(1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n),
      view: new DataView(new ArrayBuffer(80), 8),
      raw: new ArrayBuffer(64),
    }
    const back = roundTrip(task, block) as typeof task
    expect(block.placed).toHaveLength(5)
    expect(block.placed[0]).toBe(frame)
    expect(back).toStrictEqual(task)
    expect(back.frame.buffer).toBe(block.memory)
    expect(Buffer.isBuffer(back.nested[0]?.map.get('b'))).toBe(true)
  })

  test('are placed once even when the region is too small', () => {
    const block = new Block()
    const task = {
      first: new Uint8Array(100),
      text: 'y'.repeat(1000),
      second: new Uint8Array(100),
    }
    expect(roundTrip(task, block)).toStrictEqual(task)
    expect(block.placed).toHaveLength(2)
  })

  test('stay inline where the placer keeps none', () => {
    const task = { bytes: new Uint8Array(5000).fill(3) }
    expect(roundTrip(task)).toStrictEqual(task)
  })

  test('come back in memory of their own', () => {
    const encoder = new FieldEncoder({ payloadThreshold: 64 })
    const bytes = new Uint8Array(1024)
    const task = {
      buffer: Buffer.from('pooled'),
      floats: Float64Array.of(1, 2),
      raw: new ArrayBuffer(3),
    }
    const written = encoder.encode(task, bytes, 0, 1024, inline)
    const back = {} as typeof task
    new FieldDecoder().decodeInto(back, bytes, 0, written, inline)
    task.buffer.fill(0xff)
    bytes.fill(0xff)
    expect(back).toStrictEqual({
      buffer: Buffer.from('pooled'),
      floats: Float64Array.of(1, 2),
      raw: new ArrayBuffer(3),
    })
    expect(back.buffer.buffer.byteLength).toBe(6)
    expect(back.floats.buffer.byteLength).toBe(16)
  })

  test('and so does text of any length', () => {
    const texts = ['z'.repeat(40), 'é'.repeat(3_000_000), '漢'.repeat(1_500_000)]
    const encoder = new FieldEncoder({ payloadThreshold: 64 })
    expect(encoder.encode({ texts }, new Uint8Array(8), 0, 8, inline)).toBe(-1)
    const encoding = encoder.overflow.slice()
    const back: { texts?: string[] } = {}
    new FieldDecoder().decodeInto(back, encoding, 0, encoding.length, inline)
    encoding.fill(0x21)
    expect(back.texts?.every((text, index) => text === texts[index])).toBe(true)
  })

  test('what the placer or the opener throws arrives as it is', () => {
    const full = new Error('no memory left')
    const fail = (): never => {
      throw full
    }
    const task = { bytes: new Uint8Array(100) }
    expect(() => roundTrip(task, { place: fail, open: fail })).toThrow(full)
    const block = new Block()
    expect(() => roundTrip(task, { place: (value) => block.place(value), open: fail })).toThrow(
      full,
    )
  })
})

describe('a region that is too small', () => {
  test('of any size gives the same encoding in `overflow`, and is never left', () => {
    const task = {
      id: 1,
      text: 'abc',
      list: [
        { a: 1, b: 2.5 },
        { a: 3, b: null },
      ],
      big: 2n ** 80n,
    }
    const encoder = new FieldEncoder({ payloadThreshold: 64 })
    const whole = new Uint8Array(1024)
    const length = encoder.encode(task, whole, 0, 1024, inline)
    for (let size = 0; size <= length + 9; size++) {
      const bytes = new Uint8Array(1024).fill(0xee)
      const written = encoder.encode(task, bytes, 8, 8 + size, inline)
      const encoding = written < 0 ? encoder.overflow : bytes.subarray(8, 8 + written)
      expect(Buffer.compare(encoding, whole.subarray(0, length))).toBe(0)
      expect(bytes.subarray(8 + size).every((byte) => byte === 0xee)).toBe(true)
      expect(size < length ? written : -1).toBe(-1)
    }
  })

  test('a region outside the bytes is refused', () => {
    const encoder = new FieldEncoder({ payloadThreshold: 64 })
    expect(() => encoder.encode({}, new Uint8Array(8), 0, 16, inline)).toThrow(RangeError)
  })
})
