import { once } from 'node:events'
import { type Socket, connect } from 'node:net'

/** A connection to a server of this machine, on which a test says what it likes. */
export class RawClient implements AsyncDisposable {
  readonly #socket: Socket
  readonly #ended: Promise<void>
  #received = ''

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#ended = new Promise((resolve) => {
      socket.on('close', () => resolve())
    })
    socket.on('error', () => undefined) // cut off
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.#received += text
      socket.emit('received')
    })
  }

  static async connect(url: string): Promise<RawClient> {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  /** All that has come. */
  get received(): string {
    return this.#received
  }

  send(text: string): void {
    this.#socket.write(text)
  }

  /** Sends a request without a body. */
  get(path: string): void {
    this.send(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
  }

  /** Waits until this has come. */
  async receives(text: string): Promise<void> {
    while (!this.#received.includes(text)) await once(this.#socket, 'received')
  }

  /** Stops reading, so that the server cannot send. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Waits until the connection is closed. */
  ended(): Promise<void> {
    return this.#ended
  }

  hangUp(): void {
    this.#socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy()
    await this.#ended
  }
}
