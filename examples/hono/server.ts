/**
 * A flow behind Hono: the service of examples/sum, with plain `flow.process()`.
 *
 *     npm run build && npx node examples/hono/server.ts
 *     curl http://127.0.0.1:8080/sum -H 'content-type: application/json' -d '{"number":10}'
 *
 * A client that hangs up takes its task back, errors become their status, and Ctrl-C and SIGTERM let the service finish
 * what is under way. `PORT` chooses another port.
 */
import type { Server } from 'node:http'
import { serve } from '@hono/node-server'
import { Flow, FlowStep } from 'aqueduct-ts'
import { gracefulClose, toHttpError } from 'aqueduct-ts/http'
import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { SumHandler, SumTask } from '../sum/sum.ts'

const { PORT = '8080' } = process.env

const flow = new Flow([new FlowStep(SumHandler, { nprocs: 2 })])
const app = new Hono()

app.post('/sum', async (context) => {
  const body = await context.req.json<{ readonly number?: unknown } | null>().catch(() => null)
  const number = body?.number
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 0 || number > 200_000) {
    throw Object.assign(new Error('number must be an integer from 0 to 200,000'), {
      statusCode: 400,
    })
  }
  // Aborted by Hono's server when the client hangs up.
  const { signal } = context.req.raw
  const { sum } = await flow.process(new SumTask(number), { signal })
  return context.json({ result: sum })
})

app.get('/health/ready', (context) => context.body(null, flow.isRunning ? 200 : 503))

app.get('/stats', (context) => context.json(flow.stats()))

app.onError((error, context) => {
  if (error instanceof HTTPException) return error.getResponse()
  const { status, code, message, headers } = toHttpError(error)
  if (status === 500) console.error(error) // the sender is told no details, the log is
  return context.json({ error: { code, message } }, status as ContentfulStatusCode, { ...headers })
})

await flow.start()
const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(PORT) }, ({ port }) =>
  console.log(`Send numbers to http://127.0.0.1:${port}/sum`),
)
const close = gracefulClose(server as Server) // serve() may also make servers of HTTP/2

async function stop(): Promise<void> {
  await close() // what is under way is answered
  await flow.stop()
}
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void stop())
flow.on('state', (state) => {
  if (state !== 'failed') return
  process.exitCode = 1 // whoever started us may start us again
  void stop()
})
