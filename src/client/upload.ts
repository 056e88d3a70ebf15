import { types } from 'node:util'
import { TaskCancelledError, toError } from '../errors.ts'
import type { Leases } from '../memory/leases.ts'
import {
  type BodySize,
  consumed,
  cutOff,
  endError,
  notBinary,
  sizeError,
  tooLong,
  truncated,
} from './body-errors.ts'
import { type BodyReader, type BodySource, readerOf } from './body-reader.ts'
import type { Timed } from './deadlines.ts'

/** How a body is to be received. */
export interface UploadOptions extends BodySize {
  /** Milliseconds; Infinity for none. */
  readonly timeout: number
  readonly signal: AbortSignal | undefined
}

/** Who has the memory in which bodies lie. */
export interface UploadHost {
  readonly leases: Leases
  /** The largest body that there can ever be room for, in bytes. */
  readonly maxBytes: number
  /** The largest body that lies in ordinary memory, in bytes: others lie in blocks. */
  readonly maxOrdinaryBytes: number
  /** Has the upload move into a block for {@link Upload.wanted} bytes, and go on, now or later. */
  want(upload: Upload): void
  /** The upload is complete, or has failed. Its block is the host's to keep or to release. */
  onSettled(upload: Upload, error: Error | undefined): void
}

/** A body on its way in. While it is, nobody else knows of its block. */
export class Upload implements Timed {
  readonly timeout: number
  readonly deadline: number
  deadlinePlace = -1
  /** Most bytes that it may come to. */
  readonly limit: number
  /** Whether it may have to move into larger blocks, since it did not say its size. */
  readonly grows: boolean
  /** Bytes for which it wants a block before it can go on; 0 when it wants none. */
  wanted = 0
  /** Flow time since when it has wanted that. */
  wantedSince = 0
  /** Where it lies; -1 for ordinary memory. */
  block = -1
  settled = false
  readonly #host: UploadHost
  readonly #options: UploadOptions
  readonly #reader: BodyReader
  readonly #onAbort: () => void
  #ordinary = new ArrayBuffer(0)
  #capacity = 0
  #received = 0
  /** The chunk that waits for memory. */
  #kept: Uint8Array | undefined
  #hasEnded = false

  /** Throws what is wrong with the source, or with its size. */
  constructor(host: UploadHost, source: BodySource, options: UploadOptions, now: number) {
    const { size, maxSize, signal, timeout } = options
    this.#host = host
    this.#options = options
    this.timeout = timeout
    this.deadline = now + timeout
    this.grows = size === undefined
    this.limit = Math.min(size ?? maxSize ?? 0, host.maxBytes)
    const refusal = sizeError(options, host.maxBytes)
    if (refusal !== undefined) throw refusal
    if (signal?.aborted === true) throw new TaskCancelledError(signal.reason)
    this.#reader = readerOf(source, {
      onChunk: (chunk) => this.#attempt(() => this.#take(chunk)),
      onEnd: () => {
        this.#hasEnded = true
        if (this.#kept === undefined) this.#attempt(() => this.#complete())
      },
      onBroken: (cause) => {
        if (!this.#hasEnded) this.fail(cutOff(options, this.#received, cause))
      },
    })
    this.#onAbort = () => this.fail(new TaskCancelledError(signal?.reason))
    signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Bytes that have come. */
  get received(): number {
    return this.#received
  }

  /** Bytes that there is room for where it lies. */
  get capacity(): number {
    return this.#capacity
  }

  /** Where a complete body lies that lies in no block. */
  get ordinary(): ArrayBuffer {
    return this.#ordinary
  }

  /** Begins to read; a body of known size first gets all the memory that it will need. */
  begin(): void {
    const { size } = this.#options
    if (size === undefined) this.#reader.resume()
    else if (size > this.#host.maxOrdinaryBytes) this.#want(size)
    else {
      this.#ordinary = new ArrayBuffer(size)
      this.#capacity = size
      this.#reader.resume()
    }
  }

  /** Moves into a block of `capacity` bytes. Returns the block that it leaves, or -1. */
  moveTo(block: number, capacity: number): number {
    const { leases } = this.#host
    const left = this.block
    const bytes = this.#received
    if (bytes > 0) {
      leases.withBytes(block, 0, bytes, (target) => {
        if (left < 0) target.set(new Uint8Array(this.#ordinary, 0, bytes))
        else leases.withBytes(left, 0, bytes, (from) => target.set(from))
      })
    }
    this.block = block
    this.#capacity = capacity
    this.#ordinary = new ArrayBuffer(0)
    return left
  }

  /** Goes on once it has what it wanted. */
  proceed(): void {
    const kept = this.#kept
    this.wanted = 0
    this.#kept = undefined
    this.#attempt(() => {
      if (kept !== undefined) this.#write(kept)
      if (this.#hasEnded) this.#complete()
      else this.#reader.resume()
    })
  }

  fail(error: Error): void {
    this.#settle(error)
  }

  #settle(error: Error | undefined): void {
    if (this.settled) return
    this.settled = true
    this.wanted = 0
    this.#kept = undefined
    this.#reader.letGo()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#host.onSettled(this, error)
  }

  /** What goes wrong in an event of somebody's stream must not end the program. */
  #attempt(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.fail(toError(error))
    }
  }

  #want(bytes: number): void {
    this.wanted = bytes
    this.#host.want(this)
  }

  #take(chunk: unknown): void {
    if (!types.isUint8Array(chunk)) throw notBinary(this.#options, this.#received, chunk)
    const total = this.#received + chunk.byteLength
    if (total > this.limit) throw tooLong(this.#options, total, this.limit)
    if (total <= this.#capacity || this.#growOrdinary(total)) {
      this.#write(chunk)
      return
    }
    this.#reader.pause()
    this.#kept = chunk
    this.#want(total)
  }

  #write(chunk: Uint8Array): void {
    const { byteLength } = chunk
    if (byteLength === 0) return // a view of nothing cannot be made
    if (this.block < 0) new Uint8Array(this.#ordinary).set(chunk, this.#received)
    else {
      const { leases } = this.#host
      leases.withBytes(this.block, this.#received, byteLength, (bytes) => bytes.set(chunk))
    }
    this.#received += byteLength
    this.#reader.discard(chunk)
  }

  /** Makes room in ordinary memory, if that is where so many bytes lie. */
  #growOrdinary(total: number): boolean {
    const { maxOrdinaryBytes } = this.#host
    if (this.block >= 0 || total > maxOrdinaryBytes) return false
    const capacity = Math.min(this.limit, maxOrdinaryBytes, Math.max(total, 2 * this.#capacity))
    const larger = new ArrayBuffer(capacity)
    new Uint8Array(larger).set(new Uint8Array(this.#ordinary, 0, this.#received))
    this.#ordinary = larger
    this.#capacity = capacity
    return true
  }

  /** All has come; whether that is a body remains to be seen. */
  #complete(): void {
    const received = this.#received
    if (received === 0 && this.limit > 0 && this.#reader.wasRead) throw consumed()
    if (this.#reader.isTruncated) throw truncated(received)
    const error = endError(this.#options, received)
    if (error !== undefined) throw error
    if (this.block < 0 && received < this.#capacity)
      this.#ordinary = this.#ordinary.transfer(received)
    this.#settle(undefined)
  }
}
