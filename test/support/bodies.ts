import { once } from 'node:events'
import { type IncomingMessage, type RequestListener, type Server, createServer } from 'node:http'
import { type AddressInfo, type Socket, connect } from 'node:net'
import { createHash } from 'node:crypto'

/** Bytes that are the same in every run, and nowhere the same as elsewhere in them. */
export function bytesOf(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  let state = seed * 2_654_435_761
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[index] = state >>> 24
  }
  return bytes
}

/** An HTTP server on a port of its own, for the length of a scope. */
export class WebServer implements AsyncDisposable {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(listener: RequestListener): Promise<WebServer> {
    const server = createServer(listener)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new WebServer(server)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/`
  }

  /** The next request, as it begins. */
  async request(): Promise<IncomingMessage> {
    const [request] = (await once(this.#server, 'request')) as [IncomingMessage]
    return request
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** A client that says exactly what it is told to, be it HTTP or not. */
export class RawClient implements AsyncDisposable {
  readonly socket: Socket
  #answer = ''

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => undefined) // the server may cut it off
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.#answer += text
      socket.emit('answer')
    })
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  /** The head of a request whose body says its length, true or not. */
  post(contentLength: number): this {
    return this.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-length: ${contentLength}\r\n\r\n`)
  }

  /** The head of a request whose body does not. */
  postChunked(): this {
    return this.write('POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n')
  }

  chunk(bytes: Uint8Array): this {
    this.write(`${bytes.length.toString(16)}\r\n`)
    this.socket.write(bytes)
    return this.write('\r\n')
  }

  write(data: string | Uint8Array): this {
    this.socket.write(data)
    return this
  }

  /** The status of the answer, once it has come. */
  async status(): Promise<number> {
    for (;;) {
      const status = /^HTTP\/1\.1 (\d+)/.exec(this.#answer)?.[1]
      if (status !== undefined) return Number(status)
      await once(this.socket, 'answer')
    }
  }

  /** Cuts the connection, as a client does that dies. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.destroyed) return
    this.socket.destroy()
    await once(this.socket, 'close')
  }
}

/** Cuts bytes into pieces of these lengths, again and again. */
export function* pieces(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const length = Math.max(1, lengths[index % lengths.length]!)
    yield bytes.subarray(at, at + length)
    at += length
  }
}

export const sha1 = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')
