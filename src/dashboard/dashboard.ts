import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Watchable } from '../index.ts'
import { pageAssets } from './assets.ts'
import { EventStream } from './event-stream.ts'

/** A live page of a flow: its files, and the stream that feeds it. */
export class Dashboard {
  readonly #flow: Watchable
  readonly #open = new Set<ServerResponse>()

  constructor(flow: Watchable) {
    this.#flow = flow
  }

  /** Answers a request for a file of the page, by its name; '' is the page itself. False: there is no such file. */
  respond(name: string, request: IncomingMessage, response: ServerResponse): boolean {
    if (name === 'events') {
      if (request.method === 'HEAD') response.writeHead(200).end()
      else this.#stream(response)
      return true
    }
    const asset = pageAssets().get(name)
    if (asset === undefined) return false
    const isKnown = request.headers['if-none-match'] === asset.headers['etag']
    response.writeHead(isKnown ? 304 : 200, asset.headers)
    response.end(isKnown || request.method === 'HEAD' ? undefined : asset.body)
    return true
  }

  /** Ends all streams: a server that closes would wait for them. */
  close(): void {
    for (const response of this.#open) response.end()
  }

  #stream(response: ServerResponse): void {
    const stop = this.#flow.watch(new EventStream(response))
    this.#open.add(response)
    response.once('close', () => {
      this.#open.delete(response)
      stop()
    })
  }
}
