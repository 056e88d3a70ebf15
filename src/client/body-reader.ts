import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { InvalidOptionError } from '../errors.ts'

/** A stream of bytes: Node's (a request, a part of a form), the web's (`request.body`), or any other iterable. */
export type BodySource =
  | NodeJS.ReadableStream
  | AsyncIterable<Uint8Array>
  | { getReader(): WebReader } // a web stream, where the compiler does not know it as an iterable

/** What is used of a web stream's reader. */
interface WebReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
  releaseLock(): void
}

/** Where the chunks go. Nothing of it is called once the reader has let go. */
export interface BodySink {
  readonly onChunk: (chunk: unknown) => void
  readonly onEnd: () => void
  /** The stream failed or, where there is no cause, was closed before it had ended. */
  readonly onBroken: (cause: unknown) => void
}

/**
 * Reads a stream that belongs to somebody else: a chunk at a time, only while it is asked to. Whatever happens, it
 * neither ends nor destroys the stream, so that a server can still answer, and decide what to do with the rest.
 */
export interface BodyReader {
  /** Whether somebody had read from the stream before. */
  readonly wasRead: boolean
  /** Whether the stream, at its end, says that it left something out: multipart parsers do so past their limit. */
  readonly isTruncated: boolean
  /** Reads on. A reader begins paused. */
  resume(): void
  pause(): void
  /** A chunk has been copied: gives its memory back at once, where nobody else can have it. */
  discard(chunk: Uint8Array): void
  /** Lets go of the stream where it stands. */
  letGo(): void
}

/** Makes a reader for any source. Throws InvalidOptionError for what is none, or is being read by somebody else. */
export function readerOf(source: BodySource, sink: BodySink): BodyReader {
  const candidate = source as Partial<NodeStream & AsyncIterable<unknown> & WebStream> | null
  if (typeof candidate?.getReader === 'function') return readWeb(candidate as WebStream, sink)
  if (typeof candidate?.on === 'function' && typeof candidate.resume === 'function')
    return new NodeReader(candidate as NodeStream, sink)
  if (typeof candidate?.[Symbol.asyncIterator] === 'function') {
    const iterator = (candidate as AsyncIterable<unknown>)[Symbol.asyncIterator]()
    return new PullReader(false, { pull: () => iterator.next(), letGo: () => undefined }, sink)
  }
  throw new InvalidOptionError(
    'source',
    'shareFrom() reads a Node stream, a web stream or an async iterable of Uint8Arrays; bytes that have arrived already are assigned to the field',
  )
}

interface WebStream {
  getReader(): WebReader
}

/** What is used of a Node stream; the older kinds do not have all of it. */
type NodeStream = NodeJS.ReadableStream &
  Partial<Pick<Readable, 'destroyed' | 'errored' | 'readableEnded' | 'readableFlowing'>> & {
    readonly truncated?: boolean
  }

/**
 * Bytes of a chunk from which on it is not left to the garbage collector, which comes late: it lets a hundred megabytes
 * gather.
 */
const WORTH_DISCARDING = 8 * 1024

/** Whether the chunks of a stream are nothing but what Node reads from a socket. */
function comesFromSocket(stream: NodeStream): boolean {
  const { socket, push, emit } = stream as Partial<IncomingMessage>
  if (!(socket instanceof Socket) || socket.bytesRead === 0) return false
  const http = process.getBuiltinModule('node:http') // not loaded by workers, which have no use for it
  const isPlain = push === Readable.prototype.push && emit === EventEmitter.prototype.emit
  return isPlain && stream instanceof http.IncomingMessage
}

const ignore = (): void => undefined

/**
 * By events rather than by the stream's iterator: that one joins what is buffered into one chunk, and cannot be left
 * while it waits.
 */
class NodeReader implements BodyReader {
  readonly wasRead: boolean
  readonly #stream: NodeStream
  readonly #onData: (chunk: unknown) => void
  readonly #onEnd: () => void
  readonly #onError: (error: unknown) => void
  readonly #onClose: () => void
  #reads = false
  /** Whether all that has come was read from a socket, and nobody but this reader has got it. */
  #isAlone = false
  #hasEnded = false
  #hasLetGo = false

  constructor(stream: NodeStream, { onChunk, onEnd, onBroken }: BodySink) {
    this.wasRead = Readable.isDisturbed(stream)
    this.#stream = stream
    this.#onData = (chunk) => {
      this.#isAlone &&= stream.listenerCount('data') === 1 && stream.listenerCount('readable') === 0
      onChunk(chunk)
    }
    this.#onEnd = () => {
      if (this.#hasEnded) return
      this.#hasEnded = true
      onEnd()
    }
    this.#onError = onBroken
    this.#onClose = () => {
      // A parser that was told of the end before us may have called us from there.
      if (stream.readableEnded === true) this.#onEnd()
      else if (!this.#hasEnded) onBroken(undefined)
    }
    if (stream.readableFlowing === true) stream.pause()
    stream.on('end', this.#onEnd).on('error', this.#onError).on('close', this.#onClose)
    // What has happened already is not told again.
    if (stream.readableEnded !== true && stream.destroyed !== true) return
    queueMicrotask(() => {
      if (this.#hasLetGo) return
      if (stream.readableEnded === true) this.#onEnd()
      else onBroken(stream.errored ?? undefined)
    })
  }

  get isTruncated(): boolean {
    return this.#stream.truncated === true
  }

  resume(): void {
    const stream = this.#stream
    if (!this.#reads) {
      const isHeard = stream.listenerCount('data') > 0 || stream.listenerCount('readable') > 0
      this.#isAlone = !isHeard && !Readable.isDisturbed(stream) && comesFromSocket(stream)
      stream.on('data', this.#onData)
    }
    this.#reads = true
    stream.resume()
  }

  pause(): void {
    this.#stream.pause()
  }

  discard(chunk: Uint8Array): void {
    const { buffer, byteLength } = chunk
    if (!this.#isAlone || byteLength < WORTH_DISCARDING || byteLength < buffer.byteLength) return
    if (buffer instanceof ArrayBuffer) buffer.transfer(0)
  }

  letGo(): void {
    const stream = this.#stream
    this.#hasLetGo = true
    // Its later errors are those of a body that nobody waits for: not heard at all, they would end the program.
    if (!this.#hasEnded) stream.on('error', ignore)
    if (this.#reads && !this.#hasEnded) stream.pause()
    stream.off('data', this.#onData).off('end', this.#onEnd)
    stream.off('error', this.#onError).off('close', this.#onClose)
  }
}

/** A source that gives a chunk when it is asked for one. */
interface PullSource {
  readonly pull: () => Promise<{ readonly done?: boolean | undefined; readonly value?: unknown }>
  readonly letGo: () => void
}

class PullReader implements BodyReader {
  readonly wasRead: boolean
  readonly isTruncated = false
  readonly #source: PullSource
  readonly #sink: BodySink
  #wanted = false
  #reading = false
  #hasLetGo = false

  constructor(wasRead: boolean, source: PullSource, sink: BodySink) {
    this.wasRead = wasRead
    this.#source = source
    this.#sink = sink
  }

  resume(): void {
    this.#wanted = true
    if (!this.#reading) void this.#read()
  }

  pause(): void {
    this.#wanted = false
  }

  discard(): void {
    // Who made the chunk may have it still.
  }

  letGo(): void {
    this.#hasLetGo = true
    this.#source.letGo()
  }

  async #read(): Promise<void> {
    this.#reading = true
    try {
      while (this.#wanted && !this.#hasLetGo) {
        const { done, value } = await this.#source.pull()
        if (this.#hasLetGo) return
        if (done !== true) {
          this.#sink.onChunk(value)
          continue
        }
        this.#sink.onEnd()
        return
      }
    } catch (error) {
      if (!this.#hasLetGo) this.#sink.onBroken(error)
    } finally {
      this.#reading = false
    }
  }
}

function readWeb(stream: WebStream, sink: BodySink): BodyReader {
  const wasRead = Readable.isDisturbed(stream as unknown as Readable)
  let reader: WebReader
  try {
    reader = stream.getReader() // never in `byob` mode, which would take our memory away
  } catch {
    throw new InvalidOptionError('source', 'the web stream is locked: somebody else is reading it')
  }
  const letGo = (): void => reader.releaseLock() // a read that waits is given up, and its chunk stays
  return new PullReader(wasRead, { pull: () => reader.read(), letGo }, sink)
}
