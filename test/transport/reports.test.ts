import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeError, decodeReport, encodeReport } from '../../src/transport/reports.ts'

const roundTrip = (data: object): Readonly<Record<string, unknown>> =>
  decodeReport(encodeReport(data))

const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withNullPrototype: true,
  withObjectString: true,
  withTypedArray: true,
  withSparseArray: true,
})

test('any data makes a report, and a report of it is the same report', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), anything), (data) => {
      const once = roundTrip(data)
      expect(roundTrip(once)).toEqual(once)
    }),
    { numRuns: 500 },
  )
})

test('plain data arrives as it was', () => {
  const data = {
    text: 'ünïcode \ud800',
    numbers: [0, -0, NaN, 1.5, 12n],
    nothing: [null, undefined],
    when: new Date(5),
    map: new Map([['a', new Set([1, 2])]]),
    nested: { deep: { deeper: true } },
  }
  expect(roundTrip(data)).toEqual(data)
})

test.each<[string, object]>([
  ['text', { text: 'x'.repeat(10_000_000) }],
  ['texts', { texts: Array.from({ length: 10_000 }, () => 'x'.repeat(1_000)) }],
  ['numbers', { numbers: Array.from({ length: 1_000_000 }, (_, n) => n) }],
  ['fields', Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`field ${n}`, n]))],
  ['entries', { map: new Map(Array.from({ length: 100_000 }, (_, n) => [n, n])) }],
  ['long names', { ['x'.repeat(1_000_000)]: 1 }],
  ['bytes', { bytes: Buffer.alloc(1_000_000) }],
  ['digits', { digits: 10n ** 100_000n }],
  ['errors', { errors: Array.from({ length: 10_000 }, () => new Error('x'.repeat(1_000))) }],
])('a report is limited (%s)', (_, data) => {
  expect(encodeReport(data).byteLength).toBeLessThan(128 * 1024)
})

test('depth is limited, cycles too', () => {
  let deep: unknown = 'bottom'
  for (let level = 0; level < 100_000; level++) deep = { deep }
  expect(JSON.stringify(roundTrip({ deep }))).toMatch(/^(\{"deep":){8}"\[…\]"\}{8}$/)
  const error: Error & { self?: Error } = new Error('round')
  error.self = error
  expect(roundTrip({ error })).toMatchObject({ error: { message: 'round', self: '[circular]' } })
})

test('what cannot travel is named; what says how it is written is', () => {
  class Model {
    readonly file = 'cat.onnx'
    readonly #weights = 5
    weigh(): number {
      return this.#weights
    }
  }
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  const endless = { toJSON: (): object => ({ ...endless }) }
  expect(
    roundTrip({
      model: new Model(),
      url: new URL('http://host/path'),
      promise: Promise.resolve(1),
      revoked: revoked.proxy,
      invalid: new Date(NaN),
      endless,
      ['__proto__']: 1,
    }),
  ).toEqual({
    model: { file: 'cat.onnx' },
    url: 'http://host/path',
    promise: '[promise]',
    revoked: '[unreadable]',
    invalid: new Date(NaN),
    endless: '[…]',
    ['__proto__']: 1,
  })
})

test('an error keeps its class, its stack and all its causes', () => {
  const inner = new AggregateError([new TypeError('a'), new URIError('b')], 'both')
  const error = decodeError(encodeReport(new RangeError('outer', { cause: inner })))
  expect(error).toBeInstanceOf(RangeError)
  expect(error.stack).toContain('reports.test.ts')
  expect(error.cause).toBeInstanceOf(AggregateError)
  const [a, b] = (error.cause as AggregateError).errors as Error[]
  expect(a).toBeInstanceOf(TypeError)
  expect(b).toMatchObject({ name: 'URIError', message: 'b' })
})

test('an error with a very long message keeps the frames of its stack', () => {
  const message = 'x'.repeat(1_000_000)
  const error = decodeError(encodeReport(new Error(message)))
  expect(error.message).toMatch(/^x+\[…\]$/)
  expect(error.stack).toMatch(/^Error: x+\[…\]\n +at .*reports\.test\.ts/)
})

test('what is thrown and is no error comes back as one', () => {
  expect(decodeError(encodeReport({ err: 'text' }))).toMatchObject({
    message: 'text',
    cause: 'text',
  })
})
