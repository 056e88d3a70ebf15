import { types } from 'node:util'
import { classify, describeRefusal, errorNumber, firstBinary, notPlain } from './codec-classify.ts'
import { CodecError, sendsAnother } from './codec-error.ts'
import { hashOf, maxEncodedBytes, tags } from './codec-format.ts'
import { Output } from './codec-output.ts'
import { ValuePath } from './codec-path.ts'
import { ShapeTree, type ShapeNode } from './codec-shapes.ts'
import type { PayloadPlacer } from './codec-payload.ts'

/** Writes values to an `Output`: each one once, in one pass, checking as it goes. */
export class ValueWriter {
  readonly shapes: ShapeTree = new ShapeTree()
  readonly #payloadThreshold: number
  readonly #path = new ValuePath()
  readonly #output = new Output(this.#path)
  #message = 0
  #placer: PayloadPlacer | undefined
  #placing = false

  constructor(payloadThreshold: number) {
    this.#payloadThreshold = payloadThreshold
  }

  /** Writes an object's own enumerable fields; gives the bytes written, or -1 when they spilled. */
  write(
    object: object,
    bytes: Uint8Array,
    start: number,
    end: number,
    placer: PayloadPlacer,
  ): number {
    if (this.#placer !== undefined) throw sendsAnother()
    this.#output.begin(bytes, start, end)
    this.#path.reset()
    this.#placer = placer
    if (++this.#message > 0x3fffffff) this.#startOver()
    try {
      this.#record(object)
      return this.#output.spilled ? -1 : this.#output.offset
    } catch (error) {
      if (this.#placing || error instanceof CodecError) throw error
      throw this.#path.refusal('cannot be read', 'Send plain data in its place.', error)
    } finally {
      this.#placer = undefined
      this.#placing = false
    }
  }

  /** What `write` wrote when it spilled; valid until the next `write`. */
  get overflow(): Uint8Array {
    return this.#output.overflow
  }

  // Shapes forget which message they were in before the numbers of messages repeat.
  #startOver(): void {
    this.#message = 0
    this.shapes.clear()
  }

  #record(object: object): void {
    const output = this.#output
    const header = output.offset
    output.uint32(0)
    const depth = this.#path.enter('property')
    const { keys } = this.#path
    let shape = this.shapes.root
    for (const name in object) {
      // In a loop over names V8 sees through this call, and not through `Object.hasOwn`.
      if (!Object.prototype.hasOwnProperty.call(object, name)) continue
      keys[depth] = name
      shape = shape.nextName === name ? shape.next! : this.shapes.follow(shape, name)
      this.#value((object as Record<string, unknown>)[name])
    }
    if (shape.message !== this.#message) this.#shape(shape)
    output.setUint32(header, shape.offset)
    this.#path.leave(depth)
  }

  #shape(shape: ShapeNode): void {
    shape.message = this.#message
    shape.offset = this.#output.offset
    if (shape.words === undefined) this.#newShape(shape)
    else this.#output.words(shape.words)
  }

  #newShape(shape: ShapeNode): void {
    const output = this.#output
    const start = output.offset
    output.uint32(0)
    output.uint32(0)
    output.uint32(shape.fields)
    for (const name of shape.names()) output.text(name)
    while ((output.offset - start) % 4 !== 0) output.byte(0)
    output.setUint32(start + 4, output.offset - start)
    output.setUint32(start, hashOf(output.wordsSince(start)))
    if (shape.remembered) this.shapes.remember(shape, output.wordsSince(start))
  }

  #value(value: unknown): void {
    switch (typeof value) {
      case 'number':
        return this.#output.number(value)
      case 'string':
        return this.#output.text(value)
      case 'boolean':
        return this.#output.byte(value ? tags.true : tags.false)
      case 'undefined':
        return this.#output.byte(tags.undefined)
      case 'object':
        return value === null ? this.#output.byte(tags.null) : this.#object(value)
      case 'bigint':
        return this.#output.bigint(value)
      case 'function':
      case 'symbol':
      default:
        return this.#refuse(value)
    }
  }

  #refuse(value: unknown): never {
    const { what, wayOut } = describeRefusal(value)
    throw this.#path.refusal(what, wayOut)
  }

  #object(value: object): void {
    const kind = classify(value)
    if (kind >= firstBinary)
      return this.#binary(value as ArrayBuffer | ArrayBufferView, kind - firstBinary)
    if (kind === notPlain) return this.#refuse(value)
    this.#output.byte(kind)
    switch (kind) {
      case tags.array:
        return this.#array(value as unknown[])
      case tags.map:
        return this.#map(value as Map<unknown, unknown>)
      case tags.set:
        return this.#set(value as Set<unknown>)
      case tags.date:
        return this.#output.float64(Date.prototype.getTime.call(value))
      case tags.error:
        return this.#error(value as Error & { readonly [field: string]: unknown })
      default:
        if (Object.getOwnPropertySymbols(value).length > 0)
          throw this.#path.refusal('has a symbol as a key', 'Use a string as the key.')
        return this.#record(value)
    }
  }

  // Containers count what they wrote: a getter or a proxy on the way may change their size.

  #array(array: readonly unknown[]): void {
    const { length } = array
    if (length > maxEncodedBytes)
      throw this.#path.refusal(`has ${length} elements`, 'Send a typed array, or a Map if sparse.')
    const header = this.#output.offset
    this.#output.uint32(0)
    const depth = this.#path.enter('index')
    let count = 0
    for (; count < length; count++) {
      this.#path.keys[depth] = count
      this.#value(array[count])
    }
    this.#output.setUint32(header, count)
    this.#path.leave(depth)
  }

  #map(map: ReadonlyMap<unknown, unknown>): void {
    const header = this.#output.offset
    this.#output.uint32(0)
    const depth = this.#path.enter('entry')
    let count = 0
    for (const [key, value] of map) {
      this.#path.keys[depth] = count * 2
      this.#value(key)
      this.#path.keys[depth] = count * 2 + 1
      this.#value(value)
      count++
    }
    this.#output.setUint32(header, count)
    this.#path.leave(depth)
  }

  #set(set: ReadonlySet<unknown>): void {
    const header = this.#output.offset
    this.#output.uint32(0)
    const depth = this.#path.enter('member')
    let count = 0
    for (const member of set) {
      this.#path.keys[depth] = count++
      this.#value(member)
    }
    this.#output.setUint32(header, count)
    this.#path.leave(depth)
  }

  #error(error: Error & { readonly [field: string]: unknown }): void {
    const { name, message, stack } = error
    this.#output.byte(errorNumber(error))
    this.#output.text(typeof name === 'string' ? name : 'Error')
    this.#output.text(typeof message === 'string' ? message : '')
    this.#output.text(typeof stack === 'string' ? stack : '')
    // `code` may be a getter of the class, `cause` and `errors` are not enumerable.
    const fields = Object.create(null) as Record<string, unknown>
    if (error['code'] !== undefined) fields['code'] = error['code']
    for (const field of ['cause', 'errors', ...Object.keys(error)])
      if (Object.hasOwn(error, field) && !['name', 'message', 'stack'].includes(field))
        fields[field] = error[field]
    this.#record(fields)
  }

  #binary(value: ArrayBuffer | ArrayBufferView, kind: number): void {
    const isView = ArrayBuffer.isView(value)
    const buffer = isView ? value.buffer : value
    if (types.isSharedArrayBuffer(buffer))
      throw this.#path.refusal('lies in a SharedArrayBuffer', 'Send a copy of its bytes.')
    if (buffer.detached)
      throw this.#path.refusal('was released or transferred', 'Send it before that, or a copy.')
    const { byteLength } = value
    if (byteLength >= this.#payloadThreshold && this.#payload(value, kind)) return
    this.#output.byte(tags.binary)
    this.#output.byte(kind)
    this.#output.uint32(byteLength)
    this.#output.bytes(new Uint8Array(buffer, isView ? value.byteOffset : 0, byteLength))
  }

  #payload(value: ArrayBuffer | ArrayBufferView, kind: number): boolean {
    this.#placing = true
    const reference = this.#placer!.place(value)
    this.#placing = false
    if (reference === undefined) return false
    this.#output.byte(tags.payload)
    this.#output.byte(kind)
    this.#output.uint32(reference.block)
    this.#output.float64(reference.offset)
    this.#output.float64(reference.length)
    return true
  }
}
