import { describe, expect, test } from 'vitest'
import { CodecError, FieldDecoder, FieldEncoder } from '../../src/transport/codec.ts'
import { inline, roundTrip } from './codec-fixture.ts'

/** The error that refuses a task. */
function refusal(task: object): CodecError {
  try {
    roundTrip(task)
  } catch (error) {
    if (error instanceof CodecError) return error
    throw error
  }
  throw new Error('it was not refused')
}

describe('what is not plain data is refused by its path', () => {
  class Session {
    id = 1
  }
  class Scores extends Map<string, number> {}
  class Pixels extends Uint8Array {}
  const cycle: Record<string, unknown> = {}
  cycle['self'] = [cycle]
  const deep: unknown[] = []
  for (let level = 0, inner = deep; level < 50_000; level++) inner.push((inner = []))
  const released = new Float32Array(4)
  released.buffer.transfer(0)
  const hostile = {
    get value(): number {
      throw new Error('boom')
    },
  }
  const cases: [string, unknown, string, RegExp][] = [
    ['function', { callback: () => 1 }, 'task.field.callback', /is a function/],
    ['symbol', [1, Symbol('s')], 'task.field[1]', /is a symbol/],
    ['symbol key', { a: { [Symbol('s')]: 1 } }, 'task.field.a', /symbol as a key/],
    [
      'class instance',
      { 'the user': new Session() },
      'task.field["the user"]',
      /instance of Session/,
    ],
    ['subclass of Map', new Scores(), 'task.field', /instance of Scores/],
    ['subclass of Uint8Array', new Pixels(1), 'task.field', /instance of Pixels/],
    ['boxed number', Object(1), 'task.field', /instance of Number/],
    ['RegExp', /x/, 'task.field', /instance of RegExp/],
    ['URL', new URL('http://localhost'), 'task.field', /instance of URL/],
    ['WeakMap', { cache: new WeakMap() }, 'task.field.cache', /instance of WeakMap/],
    ['Promise', { later: Promise.resolve(1) }, 'task.field.later', /is a Promise.*Await it/],
    ['SharedArrayBuffer', new SharedArrayBuffer(8), 'task.field', /SharedArrayBuffer/],
    [
      'view of a SharedArrayBuffer',
      new Uint8Array(new SharedArrayBuffer(8)),
      'task.field',
      /SharedArrayBuffer/,
    ],
    ['released view', released, 'task.field', /released or transferred/],
    ['value of a Map', new Map([['k', () => 1]]), 'task.field.values()[0]', /is a function/],
    [
      'key of a Map',
      new Map([
        ['k', 1],
        [() => 1, 2],
      ] as [unknown, number][]),
      'task.field.keys()[1]',
      /is a function/,
    ],
    ['member of a Set', new Set([1, 2, () => 1]), 'task.field.values()[2]', /is a function/],
    ['cause of an error', new Error('e', { cause: () => 1 }), 'task.field.cause', /is a function/],
    ['getter that throws', { hostile }, 'task.field.hostile.value', /cannot be read/],
    ['cycle', cycle, 'task.field.self[0].self…[0].self[0].self', /contains itself/],
    ['depth', deep, 'task.field[0][0][0]…[0][0][0][0]', /nested deeper than 128/],
    ['false Map', Object.create(Map.prototype), 'task.field', /cannot be read/],
    ['false Date', Object.create(Date.prototype), 'task.field', /cannot be read/],
    ['false Uint8Array', Object.create(Uint8Array.prototype), 'task.field', /cannot be read/],
    ['Proxy of a Map', new Proxy(new Map(), {}), 'task.field', /cannot be read/],
    ['revoked Proxy', revokedProxy(), 'task.field', /cannot be read/],
    [
      'Proxy that throws',
      new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error('no')
          },
        },
      ),
      'task.field',
      /cannot be read/,
    ],
    [
      'array without end',
      Object.assign([], { length: 2 ** 32 - 1 }),
      'task.field',
      /4294967295 elements/,
    ],
  ]

  test.each(cases)('%s', (_name, field, path, message) => {
    const error = refusal({ fine: 1, field })
    expect(error.code).toBe('AQ_UNSERIALIZABLE')
    expect(error.path).toBe(path)
    expect(error.message).toMatch(message)
    expect(error.message.startsWith(`${path} `)).toBe(true)
  })

  test('the cause of a failed read is kept', () => {
    expect((refusal({ hostile }).cause as Error).message).toBe('boom')
  })

  test('the encoder goes on after a refusal', () => {
    const encoder = new FieldEncoder({ payloadThreshold: 64 })
    const bytes = new Uint8Array(256)
    expect(() => encoder.encode({ a: [() => 1] }, bytes, 0, 256, inline)).toThrow(CodecError)
    const written = encoder.encode({ a: [1] }, bytes, 0, 256, inline)
    const back = {}
    new FieldDecoder().decodeInto(back, bytes, 0, written, inline)
    expect(back).toStrictEqual({ a: [1] })
  })

  test('a task whose getter sends another task with the same encoder', () => {
    const encoder = new FieldEncoder({ payloadThreshold: 64 })
    const bytes = new Uint8Array(256)
    const task = {
      get other() {
        return encoder.encode({}, bytes, 0, 256, inline)
      },
    }
    expect(() => encoder.encode(task, bytes, 0, 256, inline)).toThrow(/sends another task/)
  })

  test('a map that a getter changes meanwhile is still one encoding', () => {
    const map = new Map<string, unknown>()
    map.set('grow', {
      get value() {
        map.set('late', 1)
        return 0
      },
    })
    const back = roundTrip({ map, after: 2 }) as { map: Map<string, unknown>; after: number }
    expect([...back.map.keys()]).toEqual(['grow', 'late'])
    expect(back.after).toBe(2)
  })
})

function revokedProxy(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
