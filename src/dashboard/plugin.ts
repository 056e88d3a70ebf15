import type { AddressInfo } from 'node:net'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { FlowObserver, InvalidOptionError, type Watchable } from '../index.ts'
import { type Rule, type Rules, checkOptions } from '../options.ts'
import { NOT_ALLOWED, isLocal, isLoopback } from './access.ts'
import { Dashboard } from './dashboard.ts'

/** Options of the dashboard. */
export interface DashboardOptions {
  /** The flow to show: a `Flow`, or a `FlowObserver`. */
  readonly flow?: Watchable
  /** Instead of `flow`: the `address` of one that runs in another process of the same user. */
  readonly address?: string
  /** Where the page is. Default `/dashboard`. */
  readonly path?: string
  /**
   * Says of each request whether it may see the flow; it may also answer itself, with a challenge or a redirect. Default:
   * only requests from this machine itself may, and none that came through a proxy. **Behind a proxy on the same machine
   * give one**: one that adds no headers makes everybody look local.
   */
  readonly authorize?: (request: FastifyRequest, reply: FastifyReply) => boolean | Promise<boolean>
}

const anything: Rule = { expects: 'anything', accepts: () => true }
const rules: Rules = {
  flow: {
    expects: 'a Flow or a FlowObserver',
    accepts: (value) => typeof (value as Watchable | null)?.watch === 'function',
  },
  address: {
    expects: 'the address of a flow',
    accepts: (value) => typeof value === 'string' && value !== '',
  },
  path: {
    expects: "a path that begins with '/' and does not end with one",
    accepts: (value) => typeof value === 'string' && /^(?:\/[^/?#:*]+)+$/.test(value),
  },
  authorize: { expects: 'a function', accepts: (value) => typeof value === 'function' },
  // Fastify's own, which it leaves among those of the plugin.
  prefix: anything,
  logLevel: anything,
  logSerializers: anything,
}

function watchableOf({ flow, address }: DashboardOptions): Watchable {
  if (flow !== undefined && address === undefined) return flow
  if (flow === undefined && address !== undefined) return new FlowObserver({ address })
  throw new InvalidOptionError('flow', 'the dashboard: give it either { flow } or { address }')
}

/**
 * A live page of a flow in a Fastify application: whether it is healthy, where its bottleneck is, and what has changed, with
 * the last five minutes. Register it once for each flow, each at a `path` of its own.
 *
 * Nobody but this machine itself sees it until you say who may: see `authorize`. It answers others with 403, whatever the
 * application listens at.
 *
 * @throws InvalidOptionError
 *
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { Flow } from 'aqueduct-ts'
 * import aqueduct from 'aqueduct-ts/fastify'
 * import aqueductDashboard from 'aqueduct-ts/dashboard'
 * import { SumHandler } from './sum.ts'
 *
 * const flow = new Flow([SumHandler])
 * const app = Fastify()
 * await app.register(aqueduct, { flow })
 * await app.register(aqueductDashboard, { flow }) // at /dashboard
 *
 * await app.listen({ port: 0 })
 * await app.close()
 * ```
 */
const aqueductDashboard: FastifyPluginAsync<DashboardOptions> = async (app, options) => {
  checkOptions('the dashboard', options, rules)
  const { authorize, path = '/dashboard' } = options
  const flow = watchableOf(options)
  // The five minutes before somebody looks begin now.
  if (options.flow !== undefined) flow.watch({ onHistory: () => {}, onSample: () => {} })()
  const dashboard = new Dashboard(flow)

  const guard = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const mayLook: unknown = authorize ? await authorize(request, reply) : isLocal(request.raw)
    if (mayLook === true || reply.sent) return
    const message = authorize ? 'You may not see the dashboard.' : NOT_ALLOWED
    await reply.code(403).send({ statusCode: 403, error: 'Forbidden', message })
  }

  const routeOptions = { onRequest: guard, logLevel: 'warn' } as const
  app.get(path, routeOptions, (request, reply) => {
    // Relative, for applications that a proxy shows elsewhere; and not the request's own path, which may look like a host.
    const [, query = ''] = request.url.split('?', 2)
    return reply.redirect(`.${path.slice(path.lastIndexOf('/'))}/${query && `?${query}`}`)
  })
  app.get<{ Params: { '*': string } }>(`${path}/*`, routeOptions, (request, reply) => {
    reply.hijack()
    if (dashboard.respond(request.params['*'], request.raw, reply.raw)) return
    reply.raw.writeHead(404, { 'content-type': 'text/plain' }).end('There is no such file.\n')
  })
  app.addHook('preClose', async () => dashboard.close())
  app.addHook('onListen', async () => {
    const publicAddress = app
      .addresses()
      .flatMap((bound: string | AddressInfo) => (typeof bound === 'string' ? [] : bound.address))
      .find((address) => !isLoopback(address))
    if (authorize === undefined && publicAddress !== undefined)
      app.log.warn({ address: publicAddress }, `${path}: ${NOT_ALLOWED}`)
  })
}

export default aqueductDashboard
