import { types } from 'node:util'
import { errorNumber } from './codec-classify.ts'
import { errorClasses } from './codec-format.ts'

/** Characters of one record, names and all. */
const MAX_LENGTH = 32_768
/** Characters of one text. */
const MAX_TEXT = 8_192
/** Characters of an error's message, which its stack repeats. */
const MAX_MESSAGE = 2_048
const MAX_VALUES = 1_000
const MAX_DEPTH = 8
/** Characters that a value counts for beside its text. */
const VALUE_LENGTH = 4
/** Stands for what there was no room for. */
const CUT = '[…]'

/**
 * What can travel of any value, within limits: plain data as it is, errors with name, message, code, stack, cause and
 * their own fields, instances of other classes as their fields (or what their `toJSON` gives). Whatever cannot travel,
 * or is too much, is named in brackets. Never throws.
 */
export function reduce(value: unknown, maxLength: number = MAX_LENGTH): unknown {
  return new Reducer(maxLength).value(value)
}

class Reducer {
  /** Characters and values that there is room for. */
  #length: number
  #values = MAX_VALUES
  readonly #ancestors: object[] = []

  constructor(maxLength: number) {
    this.#length = maxLength
  }

  value(value: unknown): unknown {
    this.#values--
    this.#length -= VALUE_LENGTH
    switch (typeof value) {
      case 'string':
        return this.#text(value)
      case 'symbol':
        return this.#text(String(value))
      case 'function':
        return '[function]'
      case 'bigint':
        return BigInt.asIntN(64, value) === value ? value : '[bigint]'
      case 'object':
        return value === null ? null : this.#nested(value)
      case 'undefined':
      case 'boolean':
      case 'number':
      default:
        return value
    }
  }

  get #isFull(): boolean {
    return this.#length <= 0 || this.#values <= 0
  }

  #text(text: string, max = MAX_TEXT): string {
    const room = Math.max(0, Math.min(max, this.#length))
    const kept = text.length <= room ? text : `${text.slice(0, room)}${CUT}`
    this.#length -= kept.length
    return kept
  }

  #nested(value: object): unknown {
    if (this.#ancestors.includes(value)) return '[circular]'
    if (this.#ancestors.length === MAX_DEPTH || this.#isFull) return CUT
    this.#ancestors.push(value)
    try {
      return this.#object(value)
    } catch {
      return '[unreadable]'
    } finally {
      this.#ancestors.pop()
    }
  }

  #object(value: object): unknown {
    if (value instanceof Error || types.isNativeError(value)) return this.#error(value)
    if (types.isDate(value)) return new Date(Date.prototype.getTime.call(value))
    if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value))
      return `[${value.constructor.name} of ${value.byteLength} bytes]`
    if (types.isPromise(value)) return '[promise]'
    if (Array.isArray(value)) return this.#members(value)
    if (types.isSet(value)) return new Set(this.#members(value))
    if (types.isMap(value)) return this.#map(value)
    const { toJSON } = value as { readonly toJSON?: unknown }
    if (typeof toJSON === 'function') return this.value(toJSON.call(value))
    const plain = {}
    this.#fields(value, Object.keys(value), plain)
    return plain
  }

  #members(members: Iterable<unknown>): unknown[] {
    const kept: unknown[] = []
    for (const member of members) {
      if (this.#isFull) return [...kept, CUT]
      kept.push(this.value(member))
    }
    return kept
  }

  #map(map: ReadonlyMap<unknown, unknown>): Map<unknown, unknown> {
    const kept = new Map<unknown, unknown>()
    for (const [key, value] of map) {
      if (this.#isFull) return kept.set(CUT, CUT)
      kept.set(this.value(key), this.value(value))
    }
    return kept
  }

  #fields(from: object, names: Iterable<string>, into: object): void {
    for (const name of names) {
      if (this.#isFull) return define(into, CUT, CUT)
      let value: unknown
      try {
        value = this.value((from as Record<string, unknown>)[name])
      } catch {
        value = '[unreadable]'
      }
      define(into, this.#text(name), value)
    }
  }

  #error(error: Error): Error {
    const copy = Object.create(errorClasses[errorNumber(error)]!.prototype) as Error
    const { name, message, stack } = error
    define(copy, 'name', this.#text(typeof name === 'string' ? name : 'Error'))
    const text = typeof message === 'string' ? message : ''
    const shortText = this.#text(text, Math.min(MAX_MESSAGE, this.#length / 2))
    define(copy, 'message', shortText)
    define(copy, 'stack', this.#stack(typeof stack === 'string' ? stack : '', text, shortText))
    const names = ['code', 'cause', 'errors'].filter((field) => field in error)
    const fields = new Set([...names, ...Object.keys(error)])
    for (const known of ['name', 'message', 'stack']) fields.delete(known)
    this.#fields(error, fields, copy)
    return copy
  }

  /** A stack begins with the message: where that is long, the frames are worth more. */
  #stack(stack: string, message: string, shortMessage: string): string {
    if (shortMessage === message) return this.#text(stack)
    return this.#text(stack.replace(message, () => shortMessage))
  }
}

function define(target: object, name: string, value: unknown): void {
  // Not an assignment: `__proto__` is a name like any other here.
  Object.defineProperty(target, name, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  })
}
