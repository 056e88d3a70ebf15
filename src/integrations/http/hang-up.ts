import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'

/** The signals that were asked for, so that a response has but one. */
const signals = new WeakMap<object, AbortSignal>()

/**
 * A signal that is aborted when the client goes away before it has its whole answer: with it as the `signal` of
 * `flow.process()`, a client that hangs up cancels its task.
 *
 * The response tells, not the request: a request is over as soon as its body has been read.
 *
 * @param response - Node's own object: `response` in Express, `reply.raw` in Fastify.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http'
 * import { Flow } from 'aqueduct-ts'
 * import { hangUpOf } from 'aqueduct-ts/http'
 * import { SumHandler, SumTask } from './sum.ts'
 *
 * const flow = new Flow([SumHandler])
 * createServer(async (request, response) => {
 *   const { sum } = await flow.process(new SumTask(10), { signal: hangUpOf(response) })
 *   response.end(String(sum))
 * })
 * ```
 */
export function hangUpOf(response: Http1Or2): AbortSignal {
  let signal = signals.get(response)
  if (signal === undefined) {
    const controller = new AbortController()
    const onClose = (): void => {
      if (!hasWholeAnswer(response))
        controller.abort(new DOMException('The client has hung up.', 'AbortError'))
    }
    if (isClosed(response)) onClose()
    else response.once('close', onClose)
    signal = controller.signal
    signals.set(response, signal)
  }
  return signal
}

type Http1Or2 = ServerResponse | Http2ServerResponse

// A response of HTTP/2 says of itself, once it is closed, that all of it was written.
const hasWholeAnswer = (response: Http1Or2): boolean =>
  'stream' in response ? !response.stream.aborted : response.writableFinished

const isClosed = (response: Http1Or2): boolean =>
  'stream' in response ? response.stream.destroyed : response.closed
