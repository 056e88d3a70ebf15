import {
  FlowStoppedError,
  OutOfMemoryError,
  QueueFullError,
  TaskTimeoutError,
  toError,
} from '../errors.ts'
import type { LeasedRange, Leases } from '../memory/leases.ts'
import { canSeal } from '../memory/sealed-buffer.ts'
import type { Control } from '../transport/control.ts'
import type { BodySource } from './body-reader.ts'
import { Deadlines } from './deadlines.ts'
import type { GarbageRelief } from './garbage.ts'
import type { Results } from './results.ts'
import { Upload, type UploadHost, type UploadOptions } from './upload.ts'
import { UploadMemory, type UploadMemoryEvents } from './upload-memory.ts'

export interface UploadEvents extends UploadMemoryEvents {
  /** A body lies in shared memory; the program may forget it. */
  readonly onArrived: () => void
}

export interface UploadLimits {
  /** Bodies that may be on their way at once. */
  readonly maxPending: number
  /** Bodies of at least so many bytes lie in shared memory. */
  readonly payloadThreshold: number
}

/** A body on its way in, as its task knows it. */
export interface Arrival {
  readonly done: Promise<void>
  readonly cancel: (error: Error) => void
}

/** A body that has arrived. The program may forget it, and may give it back all the same. */
export class ArrivedBody {
  readonly #results: Results
  readonly #bytes: WeakRef<ArrayBuffer>
  readonly #range: LeasedRange | undefined

  constructor(results: Results, bytes: ArrayBuffer) {
    this.#results = results
    this.#bytes = new WeakRef(bytes)
    this.#range = results.rangeOf(bytes)
  }

  /** The bytes; undefined when the program has forgotten them. */
  get bytes(): ArrayBuffer | undefined {
    return this.#bytes.deref()
  }

  release(): void {
    const { bytes } = this
    if (bytes !== undefined) this.#results.release([bytes])
    else if (this.#range !== undefined) this.#results.endForgotten(this.#range)
  }
}

/**
 * The bodies on their way into a client's shared memory. Each has a block of this client, which becomes a lease of the
 * program when the body is complete, and is released when it fails.
 */
export class Uploads implements UploadHost {
  readonly leases: Leases
  readonly maxBytes: number
  readonly maxOrdinaryBytes: number
  readonly #results: Results
  readonly #events: UploadEvents
  readonly #memory: UploadMemory
  readonly #maxArriving: number
  readonly #now: () => number
  readonly #deadlines: Deadlines<Upload>
  /** Those that have not settled, and how their promises are settled. */
  readonly #arriving = new Map<Upload, (error: Error | undefined) => void>()
  readonly #tasks = new WeakSet<object>()
  #closed = false

  constructor(
    control: Control,
    results: Results,
    relief: GarbageRelief,
    { maxPending, payloadThreshold }: UploadLimits,
    events: UploadEvents,
  ) {
    this.leases = control.leases
    this.#results = results
    this.#events = events
    this.#memory = new UploadMemory(control, results, relief, events)
    this.#maxArriving = maxPending
    // What is smaller travels beside a task's other fields. And where leases cannot be guarded, a program gets none.
    this.maxOrdinaryBytes = canSeal ? payloadThreshold - 1 : Infinity
    this.maxBytes = Math.max(payloadThreshold - 1, this.#memory.largestBlock)
    this.#now = () => control.clock.now()
    this.#deadlines = new Deadlines(
      this.#now,
      (upload) => upload.fail(lateness(upload)),
      !control.isClockManual,
    )
  }

  /** Whether this client has received a body for `task`: it has memory, which comes back when it is done. */
  hasReceivedFor(task: object): boolean {
    return this.#tasks.has(task)
  }

  /** Flow time since when the first of those waits that wait for memory; Infinity if none does. */
  get waitingSince(): number {
    return this.#memory.waitingSince
  }

  /**
   * Begins to receive a body for a task. `onBytes` gets its bytes, exactly as many as came, the moment that it is complete:
   * in between nobody would have them. Throws what is wrong with the source or its size.
   */
  receive(
    task: object,
    source: BodySource,
    options: UploadOptions,
    onBytes: (bytes: ArrayBuffer) => void,
  ): Arrival {
    if (this.#closed) throw stopped()
    if (this.#arriving.size >= this.#maxArriving) throw new QueueFullError(this.#maxArriving)
    const upload = new Upload(this, source, options, this.#now())
    const done = new Promise<void>((resolve, reject) => {
      this.#arriving.set(upload, (error) => {
        if (error !== undefined) {
          reject(error)
          return
        }
        try {
          this.#handOver(task, upload, onBytes)
          resolve()
        } catch (refusal) {
          reject(toError(refusal))
        }
      })
    })
    if (upload.timeout !== Infinity) this.#deadlines.add(upload, upload.timeout)
    upload.begin()
    return { done, cancel: (error) => upload.fail(error) }
  }

  /** Gives memory to those that wait for it, until there is none. Whether anybody got any. */
  retry(): boolean {
    return this.#memory.retry()
  }

  /** A hold on a body that has arrived, which lets the program forget it. */
  watch(bytes: ArrayBuffer): ArrivedBody {
    return new ArrivedBody(this.#results, bytes)
  }

  /** Fails what is late. */
  tick(): void {
    this.#deadlines.run()
  }

  /** Fails every body on its way. */
  failAll(): void {
    for (const upload of this.#arriving.keys()) upload.fail(stopped())
  }

  /** Fails every body on its way, and takes no more. */
  close(): void {
    this.#closed = true
    this.failAll()
    this.#deadlines.stop()
    this.#memory.close()
  }

  want(upload: Upload): void {
    this.#memory.give(upload)
  }

  onSettled(upload: Upload, error: Error | undefined): void {
    const settle = this.#arriving.get(upload)
    this.#arriving.delete(upload)
    if (upload.timeout !== Infinity) this.#deadlines.remove(upload, upload.timeout)
    this.#memory.forget(upload)
    if (error !== undefined && upload.block >= 0) this.#memory.free(upload.block)
    settle?.(error)
  }

  /** Makes what has come the program's. */
  #handOver(task: object, upload: Upload, onBytes: (bytes: ArrayBuffer) => void): void {
    if (upload.block < 0) {
      onBytes(upload.ordinary)
      return
    }
    if (upload.grows) this.#memory.trim(upload)
    const lease = this.#results.hold(upload.block, upload.received)
    try {
      onBytes(lease)
    } catch (refusal) {
      this.#results.release([lease])
      throw refusal
    }
    this.#tasks.add(task)
    this.#events.onArrived()
  }
}

function lateness({ wanted, timeout, received }: Upload): Error {
  if (wanted > 0) return new OutOfMemoryError()
  const message = `the body had not arrived within ${timeout} ms: ${received} bytes had come`
  return new TaskTimeoutError(timeout, message)
}

const stopped = (): FlowStoppedError =>
  new FlowStoppedError({}, 'the flow was stopped before the body had arrived')
