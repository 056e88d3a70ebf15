import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { checkOptions, finiteDuration } from '../../options.ts'

/**
 * The connections of a server, so that it can be closed without loose ends. Node's `server.close()` alone waits for
 * connections over which no request ever came, and for those that stay open after an answer that was under way; and it
 * cuts off answers that are complete but still being sent to a slow client.
 */
export class Connections {
  readonly #sockets = new Set<Socket>()
  /** Responses that have not been sent to their last byte. */
  readonly #responses = new Set<ServerResponse>()
  #isDraining = false
  #late: NodeJS.Timeout | undefined

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    // Before the application has its turn: it may answer at once.
    server.prependListener('request', (request, response) => this.#follow(request, response))
  }

  /**
   * Lets every connection end with the answer that is under way; past `timeout` milliseconds cuts those that are left.
   * Resolves when the server can be closed, after `patience` milliseconds at the latest.
   */
  async drain(timeout: number, patience: number = timeout): Promise<void> {
    this.#isDraining = true
    for (const response of this.#responses) announceEnd(response)
    this.#late = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, timeout)
    // What has arrived and was not read yet gets its turn first.
    setImmediate(() => setImmediate(() => this.#endUnused()))
    let timer: NodeJS.Timeout | undefined
    const impatience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, patience)
    })
    await Promise.race([this.#written(), impatience])
    clearTimeout(timer)
  }

  /** To be called when the server is closed. */
  drained(): void {
    clearTimeout(this.#late)
  }

  /** Resolves when no answer is complete and still on its way. */
  async #written(): Promise<void> {
    for (;;) {
      const response = [...this.#responses].find(({ writableEnded }) => writableEnded)
      if (response === undefined) return
      await new Promise((resolve) => response.once('close', resolve))
    }
  }

  #follow(request: IncomingMessage, response: ServerResponse): void {
    // In HTTP/2 a connection carries many requests, and has a farewell of its own.
    if (request.httpVersionMajor > 1) return
    const { socket } = request
    this.#responses.add(response)
    response.once('close', () => {
      this.#responses.delete(response)
      if (this.#isDraining && this.#isIdle(socket)) socket.end()
    })
    if (this.#isDraining) announceEnd(response)
  }

  #isIdle(socket: Socket): boolean {
    for (const { req } of this.#responses) if (req.socket === socket) return false
    return true
  }

  /** Ends the connections that clients have opened for later. */
  #endUnused(): void {
    for (const socket of this.#sockets) if (socket.bytesRead === 0) socket.end()
  }
}

/** Tells the client not to send another request over this connection. */
function announceEnd(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close')
}

const closeRules = { timeout: finiteDuration(0) } as const

/** Options of closing a server. */
export interface CloseOptions {
  /** Milliseconds for the answers under way; then connections are cut. Default 10,000. */
  readonly timeout?: number
}

/**
 * Prepares a server for a clean end. The function that it returns ends it: no new connections; requests under way are
 * answered; connections end with their answer, also those that are kept alive or over which no request has come.
 * It resolves when nobody is connected any more: the time to stop the flow.
 *
 * @param server - what `createServer()`, Express's `app.listen()` or Hono's `serve()` returned, before it gets requests.
 * @throws InvalidOptionError
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http'
 * import { gracefulClose } from 'aqueduct-ts/http'
 *
 * const server = createServer((request, response) => response.end('hello')).listen(0)
 * const close = gracefulClose(server)
 * await close({ timeout: 5_000 })
 * ```
 */
export function gracefulClose(server: Server): (options?: CloseOptions) => Promise<void> {
  const connections = new Connections(server)
  let closed: Promise<void> | undefined
  const close = async (timeout: number): Promise<void> => {
    await connections.drain(timeout)
    // The only error that there is says that the server does not listen.
    await new Promise((resolve) => server.close(resolve))
    connections.drained()
  }
  return async (options: CloseOptions = {}) => {
    checkOptions('close()', options, closeRules)
    await (closed ??= close(options.timeout ?? 10_000))
  }
}
