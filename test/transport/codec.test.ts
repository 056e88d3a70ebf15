import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FieldDecoder, FieldEncoder } from '../../src/transport/codec.ts'
import { Block, inline, roundTrip } from './codec-fixture.ts'

const float16 = (globalThis as { Float16Array?: new (values: number[]) => ArrayBufferView })
  .Float16Array

class Task {
  readonly number: number
  sum?: number
  label = 'abc'
  #secret = 1
  constructor(number: number) {
    this.number = number
  }
  get secret() {
    return this.#secret
  }
}

const exampleValues: [string, unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['true', true],
  ['false', false],
  ['zero', 0],
  ['minus zero', -0],
  ['NaN', NaN],
  ['infinities', [Infinity, -Infinity]],
  ['edges of int32', [2 ** 31 - 1, -(2 ** 31), 2 ** 31, -(2 ** 31) - 1, 2 ** 53]],
  ['fractions', [0.1, 5e-324, 1.7976931348623157e308]],
  ['bigints', [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 63n, -(2n ** 200n), 3n ** 500n]],
  ['empty text', ''],
  ['text of Latin-1', 'crème brûlée'],
  ['text of any kind', 'жук 🐞 \u0000 \ufeffmark'],
  ['lone surrogates', ['\ud800', 'a\udc00b', '\udc00\ud800'.repeat(20)]],
  ['long text', ['x'.repeat(300), 'é'.repeat(300), '漢'.repeat(3000)]],
  ['text about as long as a loop', Array.from({ length: 40 }, (_, n) => 'ÿ'.repeat(n))],
  ['Date', new Date(1_700_000_000_123)],
  ['invalid Date', new Date(NaN)],
  [
    'Map',
    new Map<unknown, unknown>([
      [{ a: 1 }, new Map([[1, 2]])],
      ['b', new Set([3])],
      [NaN, -0],
    ]),
  ],
  ['Set', new Set<unknown>([1, 'a', { b: 2 }])],
  ['arrays', [[], [[]], [undefined, null]]],
  ['objects', { a: { b: { c: [{ d: 1 }, { d: 2 }, { e: 3 }, {}] } } }],
  ['object without prototype', Object.assign(Object.create(null) as object, { a: 1 })],
  ['keys of all kinds', { 2: 'b', 1: 'a', '': 0, 'é 漢': 1, constructor: 2, toString: 3 }],
  ['many keys', Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`key${n}`, n]))],
  ['long keys', { ['k'.repeat(500)]: 1, ['漢'.repeat(100)]: 2 }],
  ['Int8Array', Int8Array.of(-1, 2)],
  ['Uint8Array', Uint8Array.of(1, 255)],
  ['Uint8ClampedArray', Uint8ClampedArray.of(1, 255)],
  ['Int16Array', Int16Array.of(-1, 2)],
  ['Uint16Array', Uint16Array.of(1, 65535)],
  ['Int32Array', Int32Array.of(-1, 2)],
  ['Uint32Array', Uint32Array.of(1, 2 ** 32 - 1)],
  ['Float32Array', Float32Array.of(0.5, -0, NaN)],
  ['Float64Array', Float64Array.of(0.1, Infinity)],
  ['BigInt64Array', BigInt64Array.of(-1n)],
  ['BigUint64Array', BigUint64Array.of(2n ** 64n - 1n)],
  ['DataView', new DataView(Uint8Array.of(1, 2, 3).buffer, 1)],
  ['Buffer', Buffer.from('bytes')],
  ['ArrayBuffer', Uint8Array.of(1, 2, 3).buffer],
  ['empty binary values', [new ArrayBuffer(0), Buffer.alloc(0), new Float64Array(0)]],
]
if (float16) exampleValues.push(['Float16Array', new float16([0.5, -0])])

describe('what travels comes back as what it was', () => {
  test.each(exampleValues)('%s', (_name, value) => {
    const { value: back } = roundTrip({ value }) as { value: unknown }
    expect(back).toStrictEqual(value)
    expect(kindOf(back)).toBe(kindOf(value))
  })

  test.each(exampleValues)('%s, large or deep enough to leave the region', (_name, value) => {
    const task = { filler: 'x'.repeat(250), list: [value, { value }], value }
    expect(roundTrip(task)).toStrictEqual(task)
  })

  test('objects that another realm made, as in a test runner with contexts', () => {
    const foreign = runInNewContext(`({
      list: [1], map: new Map([[1, { a: 1 }]]), set: new Set([1]), date: new Date(5),
      floats: Float32Array.of(1), bytes: new ArrayBuffer(2), view: new DataView(new ArrayBuffer(1)),
      error: new TypeError('t'),
    })`) as Record<string, unknown>
    const { error, ...back } = (roundTrip({ foreign }) as { foreign: Record<string, unknown> })
      .foreign
    expect(back).toStrictEqual({
      list: [1],
      map: new Map([[1, { a: 1 }]]),
      set: new Set([1]),
      date: new Date(5),
      floats: Float32Array.of(1),
      bytes: new ArrayBuffer(2),
      view: new DataView(new ArrayBuffer(1)),
    })
    expect(error).toMatchObject({ name: 'TypeError', message: 't' })
  })

  test('holes of an array become undefined', () => {
    const list: unknown[] = [1]
    list[2] = 3
    expect(roundTrip({ list })).toStrictEqual({ list: [1, undefined, 3] })
  })

  test('the fields of a class instance, without its prototype, in order', () => {
    const target = Object.create(Task.prototype) as Task
    roundTrip(new Task(10), inline, target)
    expect(target).toBeInstanceOf(Task)
    expect(Object.keys(target)).toEqual(Object.keys(new Task(10)))
    expect(target.number).toBe(10)
    expect('sum' in target).toBe(true)
  })

  test('an inherited field and a symbol of the task stay behind', () => {
    const task = Object.assign(Object.create({ inherited: 1 }) as object, { own: 2 })
    expect(roundTrip(Object.assign(task, { [Symbol('mark')]: 3 }))).toStrictEqual({ own: 2 })
  })

  test('a __proto__ key is a field like any other', () => {
    const inner = JSON.parse('{"__proto__":{"polluted":1},"a":2}') as object
    const task = JSON.parse('{"__proto__":5}') as Record<string, unknown>
    task['inner'] = inner
    const back = roundTrip(task) as { inner: object }
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype)
    expect(Object.getOwnPropertyDescriptor(back, '__proto__')?.value).toBe(5)
    expect(Object.getPrototypeOf(back.inner)).toBe(Object.prototype)
    expect(Object.getOwnPropertyDescriptor(back.inner, '__proto__')?.value).toEqual({ polluted: 1 })
    expect('polluted' in back.inner).toBe(false)
  })

  test('a field that an accessor of the target would catch is defined all the same', () => {
    let caught = false
    const target = Object.create({
      get held() {
        return 1
      },
      set held(_value) {
        caught = true
      },
    }) as object
    expect(
      Object.getOwnPropertyDescriptor(roundTrip({ held: 2 }, inline, target), 'held')?.value,
    ).toBe(2)
    expect(caught).toBe(false)
  })

  test('two references to one object come back as two copies', () => {
    const shared = { a: 1 }
    const back = roundTrip({ one: shared, two: shared }) as { one: object; two: object }
    expect(back.one).toStrictEqual(back.two)
    expect(back.one).not.toBe(back.two)
  })

  test('any plain data', () => {
    const key = fc.string({ unit: 'binary', maxLength: 80 })
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4, depthSize: 'small' },
        fc.oneof(
          fc.constantFrom(undefined, null, true, false, -0, NaN),
          fc.integer(),
          fc.double(),
          fc.bigInt(),
          fc.bigInt({ min: -(2n ** 300n), max: 2n ** 300n }),
          fc.string({ unit: 'binary' }),
          fc.string({
            unit: fc.integer({ min: 0, max: 0xffff }).map((c) => String.fromCharCode(c)),
          }),
          fc.date({ noInvalidDate: false }),
          fc.uint8Array(),
          fc.float32Array(),
          fc.bigInt64Array(),
          fc.uint8Array().map((bytes) => Buffer.from(bytes)),
          fc.uint8Array({ maxLength: 200 }).map((bytes) => bytes.slice().buffer),
        ),
        fc.array(tie('value')),
        fc.dictionary(key, tie('value')),
        fc.uniqueArray(fc.tuple(fc.string(), tie('value'))).map((entries) => new Map(entries)),
        fc.array(tie('value')).map((members) => new Set(members)),
      ),
    }))
    const encoder = new FieldEncoder({ payloadThreshold: 100 })
    const decoder = new FieldDecoder()
    const bytes = new Uint8Array(512)
    fc.assert(
      fc.property(fc.dictionary(key, value, { noNullPrototype: true }), (task) => {
        const block = new Block()
        const written = encoder.encode(task, bytes, 8, 512, block)
        const back = {}
        const where = written < 0 ? encoder.overflow.slice() : bytes
        decoder.decodeInto(
          back,
          where,
          written < 0 ? 0 : 8,
          written < 0 ? where.length : written,
          block,
        )
        expect(back).toStrictEqual(task)
        expect(Object.keys(back)).toEqual(Object.keys(task))
        expect(block.opened).toBe(block.placed.length)
      }),
      { numRuns: 500 },
    )
  })
})

describe('errors come back with their class and data', () => {
  test.each([Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError])(
    '%o',
    (ErrorClass) => {
      const error = Object.assign(new ErrorClass('broken', { cause: { at: [1] } }), {
        code: 'E_X',
        n: 1,
      })
      const { error: back } = roundTrip({ error }) as { error: typeof error }
      expect(back).toBeInstanceOf(ErrorClass)
      expect(Object.getPrototypeOf(back)).toBe(ErrorClass.prototype)
      expect(back).toMatchObject({ name: ErrorClass.name, message: 'broken', code: 'E_X', n: 1 })
      expect(back.stack).toBe(error.stack)
      expect(back.cause).toStrictEqual({ at: [1] })
      expect(Object.keys(back)).toEqual(Object.keys(error))
    },
  )

  test('an AggregateError and a chain of causes', () => {
    const error = new AggregateError([new TypeError('a'), 'b'], 'many', {
      cause: new Error('root'),
    })
    const { error: back } = roundTrip({ error }) as { error: AggregateError }
    expect(back).toBeInstanceOf(AggregateError)
    expect(back.errors[0]).toBeInstanceOf(TypeError)
    expect(back.errors[1]).toBe('b')
    expect((back.cause as Error).message).toBe('root')
  })

  test('a class of one’s own becomes its built-in class, with its name', () => {
    class ModelError extends RangeError {
      override readonly name = 'ModelError'
      get code() {
        return 'E_MODEL'
      }
    }
    const { error: back } = roundTrip({ error: new ModelError('m') }) as { error: ModelError }
    expect(Object.getPrototypeOf(back)).toBe(RangeError.prototype)
    expect(back).toMatchObject({ name: 'ModelError', message: 'm', code: 'E_MODEL' })
  })

  test('a DOMException, which an aborted signal gives', () => {
    const error: unknown = AbortSignal.abort().reason
    expect(roundTrip({ error })).toMatchObject({ error: { name: 'AbortError', code: 20 } })
  })
})

function kindOf(value: unknown): string {
  return Buffer.isBuffer(value) ? 'Buffer' : Object.prototype.toString.call(value)
}
