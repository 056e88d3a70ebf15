import { type Socket, connect } from 'node:net'

/** Where requests go, and what they carry. */
export interface Target {
  readonly port: number
  readonly method: 'GET' | 'POST'
  readonly path: string
}

/** Longest time without an answer. */
const TIMEOUT_MS = 30_000

interface Waiting {
  readonly request: Buffer
  resolve(body: string): void
  reject(error: Error): void
}

/**
 * Connections that are kept alive, as many as there are requests at once up to a limit. It does as little as it can,
 * because it shares the machine with the server that is measured: a request is made once and sent as it is, and of an
 * answer only the status, the length and the body are read.
 */
export class HttpPool {
  readonly #target: Target
  readonly #most: number
  readonly #idle: Connection[] = []
  readonly #all = new Set<Connection>()
  readonly #queue: Waiting[] = []

  constructor(target: Target, most: number) {
    this.#target = target
    this.#most = most
  }

  /** A request, ready to be sent as often as wanted. */
  prepare(body: Uint8Array | undefined, type = 'application/octet-stream'): Buffer {
    const { method, path, port } = this.#target
    const head = `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n`
    if (body === undefined) return Buffer.from(`${head}\r\n`)
    const headers = `content-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n`
    return Buffer.concat([Buffer.from(head + headers), body])
  }

  /** Sends a prepared request and resolves with the body of the answer. Anything but 200 is an error. */
  send(request: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { request, resolve, reject }
      const connection = this.#idle.pop() ?? this.#open()
      if (connection === undefined) this.#queue.push(waiting)
      else connection.send(waiting)
    })
  }

  close(): void {
    for (const connection of this.#all) connection.close()
  }

  #open(): Connection | undefined {
    if (this.#all.size >= this.#most) return undefined
    const connection = new Connection(
      this.#target.port,
      () => {
        const next = this.#queue.shift()
        if (next === undefined) this.#idle.push(connection)
        else connection.send(next)
      },
      () => {
        this.#all.delete(connection)
        const at = this.#idle.indexOf(connection)
        if (at >= 0) this.#idle.splice(at, 1)
        const next = this.#queue.shift()
        if (next !== undefined) this.#open()?.send(next)
      },
    )
    this.#all.add(connection)
    return connection
  }
}

/** One request at a time. */
class Connection {
  readonly #socket: Socket
  readonly #onIdle: () => void
  #waiting: Waiting | undefined
  #received: Buffer = Buffer.alloc(0)

  constructor(port: number, onIdle: () => void, onClose: () => void) {
    this.#onIdle = onIdle
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.setTimeout(TIMEOUT_MS, () => this.#socket.destroy(new Error('no answer in time')))
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk))
    let failure = new Error('the server has closed the connection')
    this.#socket.on('error', (error) => (failure = error))
    this.#socket.on('close', () => {
      onClose()
      this.#waiting?.reject(failure)
    })
  }

  send(waiting: Waiting): void {
    this.#waiting = waiting
    this.#socket.write(waiting.request)
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    const received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    const end = received.indexOf('\r\n\r\n')
    const head = end < 0 ? undefined : received.toString('latin1', 0, end)
    const length = head === undefined ? undefined : /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
    if (head !== undefined && length === undefined) {
      this.#socket.destroy(new Error(`an answer without a length: ${head}`))
      return
    }
    if (head === undefined || received.length < end + 4 + Number(length)) {
      this.#received = received
      return
    }
    this.#received = Buffer.alloc(0)
    const waiting = this.#waiting!
    this.#waiting = undefined
    const body = received.toString('utf8', end + 4)
    this.#onIdle()
    if (head.startsWith('HTTP/1.1 200')) waiting.resolve(body)
    else waiting.reject(new Error(`${head.split('\r\n', 1)[0]}: ${body}`))
  }
}
