import type { Arrival, ArrivedBody, Uploads } from './client/uploads.ts'
import { flowDefaults } from './defaults.ts'
import { InvalidOptionError, InvalidTaskError, TaskCancelledError } from './errors.ts'
import { type Rule, type Rules, checkOptions, duration, object, signal } from './options.ts'
import { uploadsFor } from './running-flows.ts'

/** The class of a binary field's values, as the option `as` names it. */
export type BinaryClass<Value> = Value extends ArrayBuffer
  ? typeof ArrayBuffer
  : new (buffer: ArrayBuffer) => Value

/** What a field is filled with: a Uint8Array where its type takes one, else what `as` says. */
type AsOption<Value> =
  Uint8Array<ArrayBuffer> extends Value
    ? { /** Class of the field's value. Default: Uint8Array. */ readonly as?: BinaryClass<Value> }
    : { /** Class of the field's value. */ readonly as: BinaryClass<Value> }

type SizeOption =
  | {
      /** Bytes that the body brings, exactly: its `Content-Length`. */
      readonly size: number
      /** Most bytes that the body may bring. */
      readonly maxSize?: number | undefined
    }
  | { readonly size?: number | undefined; readonly maxSize: number }

/** Options of `task.shareFrom()`: `size` or `maxSize`, or both; `as` where the field is no Uint8Array. */
export type ShareFromOptions<Task, Value> = SizeOption &
  AsOption<Value> & {
    /** Milliseconds for all of it, waiting for memory included; Infinity for no limit. Default 30,000. */
    readonly timeout?: number | undefined
    /** Gives up when it is aborted. */
    readonly signal?: AbortSignal | undefined
    /** In whose memory the body is to lie. Default: the only running flow that handles tasks of this class. */
    readonly flow?: { readonly process: (task: Task) => Promise<unknown> } | undefined
  }

const bytes: Rule = {
  expects: 'a whole number of bytes',
  accepts: (value) => Number.isInteger(value) && (value as number) >= 0,
}

const rules: Rules = {
  size: bytes,
  maxSize: bytes,
  as: {
    expects: 'a class of binary data: a typed array, Buffer, DataView or ArrayBuffer',
    accepts: (value) => makerOf(value) !== undefined,
  },
  timeout: duration(0),
  signal,
  flow: object,
}

/** The options without their types, which speak about a task and a field. */
interface AnyOptions {
  readonly size?: number | undefined
  readonly maxSize?: number | undefined
  readonly as?: unknown
  readonly timeout?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly flow?: object | undefined
}

/** What a task has got by `shareFrom()`, and what is on its way. */
export class SharedFields {
  readonly #arriving = new Map<PropertyKey, Arrival>()
  #arrived: ArrivedBody[] = []

  /** Whether a body is still arriving. */
  get isArriving(): boolean {
    return this.#arriving.size > 0
  }

  /** Fills a field of `task` with a body; `isResult` says whether a buffer is a result of the task that lies in shared memory. */
  async receive(
    task: object,
    field: PropertyKey,
    source: Parameters<Uploads['receive']>[1],
    options: AnyOptions,
    isResult: (buffer: ArrayBufferLike) => boolean,
  ): Promise<void> {
    checkOptions('shareFrom()', options, rules)
    const { size, maxSize, as = Uint8Array } = options
    if (size === undefined && maxSize === undefined) {
      throw new InvalidOptionError(
        'size',
        'shareFrom() needs `size`, the bytes that the body brings, or `maxSize`, the most that it may bring if it does not say',
      )
    }
    this.#check(task, field, isResult)
    const uploads = uploadsFor(task, options.flow)
    const { elementBytes, make } = makerOf(as)!
    const timeout = options.timeout ?? flowDefaults.shareTimeout
    const how = { size, maxSize, elementBytes, timeout, signal: options.signal }
    const arrival = uploads.receive(task, source, how, (arrived) => {
      ;(task as Record<PropertyKey, unknown>)[field] = make(arrived)
      this.#dropForgotten()
      this.#arrived.push(uploads.watch(arrived))
    })
    this.#arriving.set(field, arrival)
    try {
      await arrival.done
    } finally {
      this.#arriving.delete(field)
    }
  }

  /** Gives the memory back, and gives up what is still arriving. */
  release(): void {
    for (const arrival of this.#arriving.values())
      arrival.cancel(new TaskCancelledError(new Error('the task was released')))
    for (const body of this.#arrived) body.release()
    this.#arrived = []
  }

  /** A field may be given another value, and what it had be forgotten. */
  #dropForgotten(): void {
    const forgotten = this.#arrived.filter(({ bytes: left }) => left === undefined)
    for (const body of forgotten) body.release()
    this.#arrived = this.#arrived.filter((body) => !forgotten.includes(body))
  }

  #check(task: object, field: PropertyKey, isResult: (buffer: ArrayBufferLike) => boolean): void {
    const name = `${task.constructor.name}.${String(field)}`
    const property = Object.getOwnPropertyDescriptor(task, field)
    if (property === undefined) {
      throw new InvalidTaskError(
        `${name} is no field of the task; give it a first value, as in \`${String(field)}: Uint8Array | undefined = undefined\``,
      )
    }
    if (property.writable !== true)
      throw new InvalidTaskError(`${name} cannot be written: it is frozen or has a getter`)
    const { value } = property as { readonly value?: unknown }
    if (this.#arriving.has(field)) {
      const message = `a body is arriving in ${name} already; await that shareFrom() first`
      throw new InvalidTaskError(message, 'AQ_FIELD_SHARED')
    }
    if (value === undefined || value === null) return
    if (!(value instanceof ArrayBuffer) && !ArrayBuffer.isView(value)) {
      throw new InvalidTaskError(
        `${name} holds a ${typeof value}, no binary data: a body would not be of the field's type`,
      )
    }
    const buffer = ArrayBuffer.isView(value) ? value.buffer : value
    if (buffer instanceof ArrayBuffer && buffer.detached) return // it was released
    const isArrived = this.#arrived.some((body) => body.bytes === buffer)
    if (!isArrived && !isResult(buffer)) return
    throw new InvalidTaskError(
      `${name} lies in shared memory already; take a new task, or release() this one first`,
      'AQ_FIELD_SHARED',
    )
  }
}

interface Maker {
  readonly elementBytes: number
  readonly make: (buffer: ArrayBuffer) => unknown
}

const TypedArray: unknown = Object.getPrototypeOf(Uint8Array)

/** How a buffer becomes a value of a class; undefined for what is no class of binary data. */
function makerOf(as: unknown): Maker | undefined {
  if (as === ArrayBuffer) return { elementBytes: 1, make: (buffer) => buffer }
  if (as === Buffer) return { elementBytes: 1, make: (buffer) => Buffer.from(buffer) }
  if (as === DataView) return { elementBytes: 1, make: (buffer) => new DataView(buffer) }
  if (typeof as !== 'function' || Object.getPrototypeOf(as) !== TypedArray) return undefined
  const typedArray = as as typeof Uint8Array
  return {
    elementBytes: typedArray.BYTES_PER_ELEMENT,
    make: (buffer) => new typedArray(buffer),
  }
}
