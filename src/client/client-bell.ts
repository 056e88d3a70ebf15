import { Socket } from 'node:net'

/** The read end of a client's bell in its event loop. */
export class ClientBell {
  readonly #socket: Socket

  constructor(readEnd: number, onRing: () => void) {
    this.#socket = new Socket({
      fd: readEnd,
      readable: true,
      writable: false,
      onread: {
        buffer: Buffer.alloc(64),
        callback: () => {
          onRing()
          return true
        },
      },
    })
    this.#socket.on('error', onRing)
    this.#socket.resume()
  }

  close(): void {
    this.#socket.destroy()
  }
}
