import { Socket } from 'node:net'

/** The read end of an actor's bell in its event loop. */
export class BellReader {
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
