import { AsyncLocalStorage } from 'node:async_hooks'
import { tracingChannel } from 'node:diagnostics_channel'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { AqueductError, type BaseTask, type ProcessTrace, type TaskTimings } from '../../index.ts'

/** A call of `process()` in a request. */
interface Call {
  /** Name of the flow. */
  readonly flow: string
  readonly durationMs: number
  readonly timings: TaskTimings | undefined
  readonly error: Error | undefined
}

interface Begun {
  readonly calls: Call[]
  readonly flow: string
  readonly at: number
}

const HEADER = 'server-timing'
/** A request may have more tasks than a header should have lines. */
const MOST_CALLS = 8

/** Names are tokens: what may not stand in one is replaced. */
const tokenOf = (name: string): string => name.replaceAll(/[^\w-]/g, '_')

const metric = (name: string, ms: number, description?: string): string => {
  const duration = `${name};dur=${Number(ms.toFixed(3))}`
  return description === undefined ? duration : `${duration};desc="${description}"`
}

function metricsOf({ flow, durationMs, timings, error }: Call): string[] {
  const name = tokenOf(flow)
  if (error !== undefined)
    return [metric(name, durationMs, AqueductError.is(error) ? error.code : undefined)]
  return [
    metric(name, timings?.totalMs ?? durationMs),
    ...(timings?.steps ?? []).flatMap(({ step, queueMs, batchMs, handleMs, batchSize }) => {
      const own = `${name}.${tokenOf(step)}`
      const batch = batchSize === 1 ? '1 task' : `${batchSize} tasks`
      return [
        metric(`${own}.queue`, queueMs),
        metric(`${own}.batch`, batchMs, batch),
        metric(`${own}.handle`, handleMs),
      ]
    }),
  ]
}

const ignore = (): void => undefined

/**
 * Tells in the header `Server-Timing` of each answer where the time of its tasks went. A call of `process()` belongs to the
 * request in whose handler, or in what that waits for, it was made. The returned function ends that.
 */
export function addServerTiming(
  app: FastifyInstance,
  flows: Readonly<Record<string, object>>,
): () => void {
  const names = new Map(Object.entries(flows).map(([name, flow]) => [flow, name]))
  const requests = new AsyncLocalStorage<Call[]>()
  const byReply = new WeakMap<FastifyReply, Call[]>()
  const begun = new WeakMap<ProcessTrace, Begun>()
  const begin = (trace: ProcessTrace): void => {
    const calls = requests.getStore()
    const flow = names.get(trace.flow)
    if (calls === undefined || flow === undefined) return
    begun.set(trace, { calls, flow, at: performance.now() })
  }
  const end = (trace: ProcessTrace): void => {
    const call = begun.get(trace)
    if (call === undefined) return
    const { error } = trace
    call.calls.push({
      flow: call.flow,
      durationMs: performance.now() - call.at,
      timings: (trace.task as BaseTask).timings,
      error,
    })
  }
  // Not earlier: reading the body leaves the context.
  app.addHook('preHandler', (_request, reply, done) => {
    const calls: Call[] = []
    byReply.set(reply, calls)
    requests.run(calls, done)
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    const metrics = (byReply.get(reply) ?? []).slice(0, MOST_CALLS).flatMap(metricsOf)
    const before = reply.getHeader(HEADER)
    if (metrics.length > 0) void reply.header(HEADER, [before ?? [], metrics].flat().join(', '))
    done(null, payload)
  })
  const channel = tracingChannel<ProcessTrace>('aqueduct:process')
  const subscribers = {
    start: begin,
    end: ignore,
    asyncStart: ignore,
    asyncEnd: end,
    error: ignore,
  }
  channel.subscribe(subscribers)
  return () => channel.unsubscribe(subscribers)
}
