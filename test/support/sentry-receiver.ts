import { EventEmitter, once } from 'node:events'
import { type IncomingMessage, type Server, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import type { ErrorEvent } from '@sentry/node'

/** What stands in for Sentry's servers: keeps the events of the envelopes that are posted to it. */
export class SentryReceiver implements AsyncDisposable {
  readonly events: ErrorEvent[] = []
  readonly #server: Server
  readonly #arrivals = new EventEmitter<{ arrival: [] }>()

  private constructor(server: Server) {
    this.#server = server
    server.on('request', (request, response) => {
      void this.#take(request).then(() => response.end('{}'))
    })
  }

  static async listen(): Promise<SentryReceiver> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new SentryReceiver(server)
  }

  get dsn(): string {
    return `http://key@127.0.0.1:${(this.#server.address() as AddressInfo).port}/1`
  }

  /** Waits for an event, and takes it. */
  async next(matches: (event: ErrorEvent) => boolean = () => true): Promise<ErrorEvent> {
    const signal = AbortSignal.timeout(60_000)
    for (;;) {
      const index = this.events.findIndex(matches)
      if (index >= 0) return this.events.splice(index, 1)[0]!
      await once(this.#arrivals, 'arrival', { signal })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  /** An envelope is lines of JSON: its header, then header and body of each item. */
  async #take(request: IncomingMessage): Promise<void> {
    const sent = await buffer(request)
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent
    const [, ...items] = body.toString().trimEnd().split('\n')
    for (let index = 0; index + 1 < items.length; index += 2) {
      const { type } = JSON.parse(items[index]!) as { readonly type: string }
      if (type === 'event') this.events.push(JSON.parse(items[index + 1]!) as ErrorEvent)
    }
    this.#arrivals.emit('arrival')
  }
}
