import { EventEmitter, once } from 'node:events'
import { type Server, type Socket, createServer } from 'node:net'

let gates = 0

/**
 * Where a handler waits until the test lets it go on: the test knows that the handler has come, and the handler that it
 * may go, without either looking twice. An abstract Unix socket, so it works for processes and threads alike.
 */
export class Gate implements AsyncDisposable {
  /** What a handler passes to `pass()` of the gate fixture. */
  readonly name: string
  readonly #server: Server
  readonly #arrivals = new EventEmitter<{ arrival: [] }>()
  readonly #waiting = new Set<Socket>()
  #count = 0
  #isOpen = false

  private constructor(name: string, server: Server) {
    this.name = name
    this.#server = server
    server.on('connection', (socket) => {
      socket.on('error', () => undefined) // the visitor died
      socket.on('close', () => this.#waiting.delete(socket))
      socket.resume()
      this.#count++
      if (this.#isOpen) socket.end()
      else this.#waiting.add(socket)
      this.#arrivals.emit('arrival')
    })
  }

  static async close(): Promise<Gate> {
    const name = `aqueduct-gate-${process.pid}-${gates++}`
    const server = createServer()
    server.listen(`\0${name}`)
    await once(server, 'listening')
    return new Gate(name, server)
  }

  /** How many have come so far. */
  get count(): number {
    return this.#count
  }

  /** Waits until `count` visitors in all have come. */
  async visited(count = 1): Promise<void> {
    while (this.#count < count) await once(this.#arrivals, 'arrival')
  }

  /** Lets those who wait go on, and everybody who comes later. */
  open(): void {
    this.#isOpen = true
    this.letGo()
  }

  /** Those who come from now on have to wait. */
  shut(): void {
    this.#isOpen = false
  }

  /** Lets those who wait now go on. */
  letGo(): void {
    for (const socket of this.#waiting) socket.end()
    this.#waiting.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#waiting) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
