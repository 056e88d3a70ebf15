/**
 * Recognises handwritten digits over HTTP: `npm run demo`, then open the address that it prints.
 *
 * The web process only receives and answers. Pictures go straight into the memory that it shares with the worker processes
 * of a flow (flow.ts). Decoding them and running the model happen there, so a slow picture never keeps another request
 * waiting. The plugin starts the flow, tells of its health, and lets both end cleanly at a signal.
 */
import { readFile } from 'node:fs/promises'
import { relative } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import aqueductDashboard from 'aqueduct-ts/dashboard'
import aqueduct from 'aqueduct-ts/fastify'
import Fastify, { type FastifyRequest } from 'fastify'
import { refuseConnection, sendError } from './errors.ts'
import { makeDigitFlow } from './flow.ts'
import { DigitTask } from './task.ts'

const { HOST = '127.0.0.1', PORT = '8080', TIMEOUT = '5000', MAX_PENDING = '256' } = process.env
/** Milliseconds for a request to arrive, its body included: who sends more slowly is cut off. */
const requestTimeout = Number(process.env['REQUEST_TIMEOUT'] ?? 30_000)

const MAX_PICTURE = 8 * 1024 * 1024 // bytes

const flow = makeDigitFlow({ maxPending: Number(MAX_PENDING) })
const app = Fastify({
  requestTimeout,
  http: {
    headersTimeout: Math.min(10_000, requestTimeout),
    connectionsCheckingInterval: requestTimeout / 10, // Node looks every 30 s otherwise
  },
  return503OnClosing: false, // what arrives on open connections while we stop is still answered
  frameworkErrors: (error, _request, reply) => sendError(error, reply),
  clientErrorHandler: refuseConnection,
})
const page = await readFile(new URL('page.html', import.meta.url))

// Errors have a form of their own here: without it the plugin's handler would do.
await app.register(aqueduct, { flow, closeOnSignals: true, errorHandler: false })
await app.register(aqueductDashboard, { flow }) // at /dashboard, for this machine alone
app.setErrorHandler((error, _request, reply) => sendError(error, reply))
app.setNotFoundHandler(({ method, url }, reply) =>
  reply.code(404).send({ error: { code: 'NOT_FOUND', message: `There is no ${method} ${url}.` } }),
)

// A body stays a stream, for the route to receive.
app.removeAllContentTypeParsers()
app.addContentTypeParser(
  ['image/png', 'image/jpeg', 'application/octet-stream'],
  (_request, body, done) => done(null, body),
)

app.post<{ Body?: Readable }>('/predict', async (request, reply) => {
  const task = new DigitTask()
  const { hangUp: signal } = reply
  try {
    if (request.body !== undefined) {
      const size = lengthOf(request)
      await task.shareFrom('image', request.body, { size, maxSize: MAX_PICTURE, signal })
    }
    await flow.process(task, { timeout: Number(TIMEOUT), signal })
    if (task.problem !== undefined) {
      return await reply.code(400).send({ error: { code: 'BAD_IMAGE', message: task.problem } })
    }
    return { ...task.answer, timings: task.timings }
  } finally {
    task.release() // its shared memory is free for the next one
  }
})

app.get('/', (_request, reply) => reply.type('text/html; charset=utf-8').send(page))
app.get('/stats', () => flow.stats())

// Milliseconds and shares to four decimals are enough for people.
app.setReplySerializer((answer) =>
  JSON.stringify(answer, (_key, value: unknown) =>
    typeof value === 'number' ? Number(value.toFixed(4)) : value,
  ),
)

/** How long the body is, in bytes; undefined where it does not say. */
function lengthOf({ headers }: FastifyRequest): number | undefined {
  const length = headers['content-length']
  return length === undefined ? undefined : Number(length)
}

function invite(address: string): void {
  const sample = fileURLToPath(new URL('samples/seven-drawn.png', import.meta.url))
  console.log(`Draw a digit:  ${address}/`)
  console.log(
    `Or send one:   curl --data-binary @${relative('.', sample)} -H 'content-type: image/png' ${address}/predict`,
  )
  console.log(`Watch it work: ${address}/dashboard`)
  console.log('Ctrl-C stops it.')
}

const running = new Promise<void>((resolve) => {
  flow.on('state', (state) => {
    if (state === 'running') resolve()
  })
})
app.addHook('preClose', async () => {
  if (flow.isRunning) console.log('Finishing what is in flight …')
})
process.on('exit', (code) => {
  if (code === 0) console.log('Stopped.')
})

try {
  const address = await app.listen({ host: HOST, port: Number(PORT) }) // not ready before the flow is
  await running
  invite(address)
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException
  console.error(
    code === 'EADDRINUSE'
      ? `Port ${PORT} of ${HOST} is taken. Choose another one: PORT=8081 npm run demo`
      : `The service cannot start: ${message}`,
  )
  process.exitCode = 1
  await app.close()
}
