import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { FieldDecoder, FieldEncoder } from '../../src/transport/codec.ts'
import { inline } from './codec-fixture.ts'

describe('decoding into an object that has fields', () => {
  const bytes = new Uint8Array(256)
  const written = new FieldEncoder({ payloadThreshold: 64 }).encode(
    { a: 1, b: 2 },
    bytes,
    0,
    256,
    inline,
  )

  test('keeps the others', () => {
    const target = { a: 0, other: 3 }
    new FieldDecoder().decodeInto(target, bytes, 0, written, inline)
    expect(target).toStrictEqual({ a: 1, other: 3, b: 2 })
  })

  test('deletes the others with `prune`, its symbols excepted', () => {
    const mark = Symbol('mark')
    const target = Object.assign(Object.create({ inherited: 1 }) as object, {
      a: 0,
      other: 3,
      [mark]: 4,
    })
    new FieldDecoder().decodeInto(target, bytes, 0, written, inline, true)
    expect(Reflect.ownKeys(target)).toEqual(['a', 'b', mark])
  })
})

describe('a shape that is met often', () => {
  const names = [
    'plain',
    'a"b',
    "c'd",
    '\\',
    '${e}',
    '\n',
    '\u2028',
    '\ud800',
    '',
    '7',
    '-1',
    'constructor',
  ]
  const often = 1000

  test.each([
    ['names of every kind', Object.fromEntries(names.map((name, index) => [name, index]))],
    ['__proto__ as a name', JSON.parse('{"before": 1, "__proto__": {"polluted": true}}') as object],
    ['objects within objects', { one: { two: { one: 1 } }, other: [{ two: 2 }, { two: 3 }] }],
    [
      'more fields than are compiled',
      Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`f${i}`, i])),
    ],
  ])('is read as the first time: %s', (_, task) => {
    const encoder = new FieldEncoder({ payloadThreshold: 64 })
    const decoder = new FieldDecoder()
    const bytes = new Uint8Array(8192)
    for (let round = 0; round < often; round++) {
      const written = encoder.encode(task, bytes, 0, bytes.length, inline)
      const back = {}
      decoder.decodeInto(back, bytes, 0, written, inline)
      expect(back).toStrictEqual(task)
      expect(Object.getPrototypeOf(back)).toBe(Object.prototype)
    }
    expect('polluted' in {}).toBe(false)
  })

  test('goes into targets of any class, and refuses a field that cannot be written', () => {
    const encoder = new FieldEncoder({ payloadThreshold: 64 })
    const decoder = new FieldDecoder()
    const bytes = new Uint8Array(256)
    const written = encoder.encode({ a: 1, b: 2 }, bytes, 0, 256, inline)
    const set: unknown[] = []
    class Watched {
      set a(value: unknown) {
        set.push(value)
      }
    }
    for (let round = 0; round < often; round++) {
      for (const target of [{}, new Watched(), Object.create(null) as object, { b: 0, a: 0 }]) {
        decoder.decodeInto(target, bytes, 0, written, inline)
        expect({ ...target }).toStrictEqual({ a: 1, b: 2 })
      }
    }
    expect(set).toStrictEqual([])
    const frozen = Object.freeze({ a: 0 })
    expect(() => decoder.decodeInto(frozen, bytes, 0, written, inline)).toThrow('cannot be read')
  })

  test('is read by a loop where no code may be made from strings', async () => {
    const program = `
      import { FieldDecoder, FieldEncoder } from ${JSON.stringify(new URL('../../src/transport/codec.ts', import.meta.url).href)}
      const encoder = new FieldEncoder({ payloadThreshold: 64 })
      const decoder = new FieldDecoder()
      const bytes = new Uint8Array(256)
      let back
      for (let round = 0; round < ${often}; round++) {
        const written = encoder.encode({ a: round, b: [round] }, bytes, 0, 256, {})
        decoder.decodeInto((back = {}), bytes, 0, written, {})
      }
      console.log(JSON.stringify(back))`
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--disallow-code-generation-from-strings',
      '--input-type=module',
      '--eval',
      program,
    ])
    expect(JSON.parse(stdout)).toStrictEqual({ a: often - 1, b: [often - 1] })
  })
})

describe('shapes', () => {
  test('are remembered within bounds, whatever keys come', () => {
    const encoder = new FieldEncoder({ payloadThreshold: 64 })
    const decoder = new FieldDecoder()
    const bytes = new Uint8Array(16384)
    let mostShapes = 0
    let mostBytes = 0
    for (let round = 0; round < 5000; round++) {
      const task: Record<string, unknown> = { number: round }
      for (let field = 0; field < round % 70; field++)
        task[`${'k'.repeat(round % 66)}${round}-${field}`] = 1
      const written = encoder.encode(task, bytes, 0, bytes.length, inline)
      const back = {}
      decoder.decodeInto(back, bytes, 0, written, inline)
      expect(Object.keys(back)).toEqual(Object.keys(task))
      for (const { shapes, bytes: held } of [encoder.remembered, decoder.remembered]) {
        mostShapes = Math.max(mostShapes, shapes)
        mostBytes = Math.max(mostBytes, held)
      }
    }
    expect(mostShapes).toBeGreaterThan(100)
    expect(mostShapes).toBeLessThanOrEqual(1024)
    expect(mostBytes).toBeLessThanOrEqual(256 * 1024)
  })

  test('are written once for all objects of a message', () => {
    const encoder = new FieldEncoder({ payloadThreshold: 64 })
    const bytes = new Uint8Array(8192)
    const box = { left: 1, top: 2, width: 3, height: 4 }
    const one = encoder.encode({ boxes: [box] }, bytes, 0, 8192, inline)
    const two = encoder.encode({ boxes: [box, box] }, bytes, 0, 8192, inline)
    expect(two - one).toBe(5 + 4 * 5)
  })

  test('of one decoder serve messages of encoders that never met it', () => {
    const decoder = new FieldDecoder()
    const bytes = new Uint8Array(256)
    for (let n = 0; n < 3; n++) {
      const encoder = new FieldEncoder({ payloadThreshold: 64 })
      for (const task of [{ a: n, b: 1 }, { b: 1, a: n }, { ab: n }]) {
        const back = {}
        const written = encoder.encode(task, bytes, 0, 256, inline)
        decoder.decodeInto(back, bytes, 0, written, inline)
        expect(Object.entries(back)).toEqual(Object.entries(task))
      }
    }
  })
})
