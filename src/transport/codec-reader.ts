import { CodecError, corrupt } from './codec-error.ts'
import {
  binaryKinds,
  errorClasses,
  hashMask,
  maxDepth,
  maxShapeWork,
  shapeHeaderBytes,
  tags,
} from './codec-format.ts'
import { Input } from './codec-input.ts'
import { Shape, ShapeCache } from './codec-shapes.ts'
import type { PayloadOpener } from './codec-payload.ts'

/**
 * Reads values from an `Input`. It trusts no byte: every length is checked before it is used,
 * nothing is allocated ahead of the bytes that fill it, and depth and work are bounded.
 */
export class ValueReader {
  readonly shapes: ShapeCache = new ShapeCache()
  readonly #input = new Input()
  #depth = 0
  #opener: PayloadOpener | undefined
  #opening = false
  #lastShape: Shape = new Shape(new Int32Array(0), [])
  #lastShapeOffset = -1
  readonly #next = (): unknown => this.#value()
  /** Bytes of shapes that this message may still make us look at. */
  #shapeWork = 0

  /** Defines the fields of one record on `target`; gives their shape. */
  read(
    target: object,
    bytes: Uint8Array,
    start: number,
    length: number,
    opener: PayloadOpener,
  ): Shape {
    this.#input.begin(bytes, start, length)
    this.#depth = 0
    this.#opener = opener
    this.#opening = false
    this.#lastShapeOffset = -1
    this.#shapeWork = length * maxShapeWork
    try {
      return this.#record(target)
    } catch (error) {
      if (this.#opening || error instanceof CodecError) throw error
      throw corrupt('it cannot be read', error)
    } finally {
      this.#opener = undefined
    }
  }

  #record(target: object): Shape {
    const input = this.#input
    const shapeOffset = input.uint32()
    const shape = this.#shapeAt(shapeOffset)
    const { names } = shape
    this.#enter()
    if (shape.isAssignableTo(target)) {
      const { fill } = shape
      if (fill !== undefined) fill(target, this.#next)
      else
        for (let index = 0; index < names.length; index++)
          (target as Record<string, unknown>)[names[index]!] = this.#value()
    } else for (const name of names) define(target, name, this.#value(), true)
    this.#depth--
    if (input.offset === shapeOffset) input.seek(shapeOffset + shape.words.byteLength)
    return shape
  }

  #shapeAt(offset: number): Shape {
    if (offset === this.#lastShapeOffset) return this.#lastShape
    let shape = this.#lastShape
    if (shape.words.length === 0 || !this.#input.hasWordsAt(shape.words, offset))
      shape = this.#otherShapeAt(offset)
    this.#shapeWork -= shape.words.byteLength
    if (this.#shapeWork < 0) throw corrupt('its shapes overlap')
    this.#lastShape = shape
    this.#lastShapeOffset = offset
    return shape
  }

  #otherShapeAt(offset: number): Shape {
    const input = this.#input
    const here = input.offset
    input.seek(offset)
    const hash = input.uint32() & hashMask
    let shape = this.shapes.get(hash)
    if (shape === undefined || !input.hasWordsAt(shape.words, offset)) {
      shape = this.#newShape(offset)
      this.shapes.remember(hash, shape)
    }
    input.seek(here)
    return shape
  }

  #newShape(offset: number): Shape {
    const input = this.#input
    const bytes = input.uint32()
    const fields = input.uint32()
    const names: string[] = []
    while (names.length < fields) {
      const name = input.taggedText()
      names.push(Object.keys({ [name]: 0 })[0]!) // the engine's own copy: assigning by it is faster
    }
    const padded = (input.offset - offset + 3) & ~3
    if (bytes !== padded || bytes < shapeHeaderBytes) throw corrupt('a shape has a wrong length')
    input.seek(offset)
    return new Shape(input.words(bytes / 4), names)
  }

  #enter(): void {
    if (this.#depth++ >= maxDepth) throw corrupt(`it is nested deeper than ${maxDepth} levels`)
  }

  #value(): unknown {
    const input = this.#input
    const tag = input.byte()
    switch (tag) {
      case tags.int32:
        return input.int32()
      case tags.float64:
        return input.float64()
      case tags.shortText:
      case tags.emptyText:
      case tags.text:
      case tags.wideText:
        return input.text(tag)
      case tags.undefined:
        return undefined
      case tags.null:
        return null
      case tags.false:
        return false
      case tags.true:
        return true
      case tags.object:
        return this.#object({})
      case tags.bareObject:
        return this.#object(Object.create(null) as object)
      case tags.array:
        return this.#array()
      case tags.map:
        return this.#map()
      case tags.set:
        return new Set(this.#array())
      case tags.date:
        return new Date(input.float64())
      case tags.bigint:
        return input.bigint()
      case tags.longBigint:
        return input.longBigint()
      case tags.error:
        return this.#error()
      case tags.binary:
        return this.#binary()
      case tags.payload:
        return this.#payload()
      default:
        throw corrupt(`it has an unknown tag, ${tag}`)
    }
  }

  #object<Target extends object>(target: Target): Target {
    this.#record(target)
    return target
  }

  #array(): unknown[] {
    const count = this.#input.uint32()
    this.#enter()
    const array: unknown[] = []
    for (let index = 0; index < count; index++) array.push(this.#value())
    this.#depth--
    return array
  }

  #map(): Map<unknown, unknown> {
    const count = this.#input.uint32()
    this.#enter()
    const map = new Map<unknown, unknown>()
    for (let index = 0; index < count; index++) {
      const key = this.#value()
      map.set(key, this.#value())
    }
    this.#depth--
    return map
  }

  #error(): Error {
    const errorClass = errorClasses[this.#input.byte()]
    if (errorClass === undefined) throw corrupt('an error in it is of an unknown class')
    const name = this.#input.taggedText()
    const message = this.#input.taggedText()
    const stack = this.#input.taggedText()
    const error =
      errorClass === AggregateError
        ? new AggregateError([], message)
        : new (errorClass as ErrorConstructor)(message) // all others take the message first
    define(error, 'stack', stack, false)
    if (error.name !== name) define(error, 'name', name, false)
    const fields = this.#object(Object.create(null) as Record<string, unknown>)
    for (const field of Object.keys(fields))
      define(error, field, fields[field], field !== 'cause' && field !== 'errors')
    return error
  }

  #binary(): ArrayBuffer | ArrayBufferView {
    const kind = this.#input.byte()
    const length = this.#input.uint32()
    return viewAs(kind, this.#input.bytes(length).buffer, 0, length)
  }

  #payload(): ArrayBuffer | ArrayBufferView {
    const kind = this.#input.byte()
    const block = this.#input.uint32()
    const offset = this.#input.float64()
    const length = this.#input.float64()
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0)
      throw corrupt('a payload in it has an impossible place')
    this.#opening = true
    const { buffer, byteOffset } = this.#opener!.open(block, offset, length)
    this.#opening = false
    return viewAs(kind, buffer, byteOffset, length)
  }
}

function viewAs(
  kind: number,
  buffer: ArrayBuffer,
  offset: number,
  bytes: number,
): ArrayBuffer | ArrayBufferView {
  const binaryKind = binaryKinds[kind]
  if (binaryKind === undefined) throw corrupt(`it has an unknown kind of binary value, ${kind}`)
  if (bytes % binaryKind.elementBytes !== 0)
    throw corrupt(`a ${binaryKind.name} in it has ${bytes} bytes`)
  return binaryKind.view(buffer, offset, bytes)
}

function define(target: object, name: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(target, name, { value, enumerable, writable: true, configurable: true })
}
