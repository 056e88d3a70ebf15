/**
 * A flow behind Express: the service of examples/sum, with plain `flow.process()`.
 *
 *     npm run build && npx node examples/express/server.ts
 *     curl http://127.0.0.1:8080/sum -H 'content-type: application/json' -d '{"number":10}'
 *
 * A client that hangs up takes its task back, errors become their status, and Ctrl-C and SIGTERM let the service finish
 * what is under way. `PORT` chooses another port.
 */
import type { AddressInfo } from 'node:net'
import { Flow, FlowStep } from 'aqueduct-ts'
import { gracefulClose, hangUpOf, toHttpError } from 'aqueduct-ts/http'
import express, { type ErrorRequestHandler } from 'express'
import { SumHandler, SumTask } from '../sum/sum.ts'

const { PORT = '8080' } = process.env

const flow = new Flow([new FlowStep(SumHandler, { nprocs: 2 })])
const app = express()

app.post('/sum', express.json(), async (request, response) => {
  const { number } = (request.body ?? {}) as { readonly number?: unknown }
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 0 || number > 200_000) {
    throw Object.assign(new Error('number must be an integer from 0 to 200,000'), {
      statusCode: 400,
    })
  }
  const { sum } = await flow.process(new SumTask(number), { signal: hangUpOf(response) })
  response.json({ result: sum })
})

app.get('/health/ready', (_request, response) => {
  response.sendStatus(flow.isRunning ? 200 : 503)
})

app.get('/stats', (_request, response) => {
  response.json(flow.stats())
})

// Express knows a handler of errors by its four parameters.
const answerError: ErrorRequestHandler = (error: unknown, _request, response, next) => {
  if (response.headersSent) return next(error)
  const { status, code, message, headers } = toHttpError(error)
  if (status === 500) console.error(error) // the sender is told no details, the log is
  response.status(status).set(headers).json({ error: { code, message } })
}
app.use(answerError)

await flow.start()
const server = app.listen(Number(PORT), '127.0.0.1', (error) => {
  if (error) throw error
  const { port } = server.address() as AddressInfo
  console.log(`Send numbers to http://127.0.0.1:${port}/sum`)
})
const close = gracefulClose(server)

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
