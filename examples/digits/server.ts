/**
 * Recognises handwritten digits over HTTP: `npm run demo`, then open the address that it prints.
 *
 * The web process only receives and answers. Decoding pictures and running the model happen in the worker processes of
 * a flow (flow.ts), so a slow picture never keeps another request waiting.
 */
import { readFile } from 'node:fs/promises'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import Fastify, { type FastifyReply } from 'fastify'
import { makeDigitFlow } from './flow.ts'
import { refuseConnection, sendError } from './http-errors.ts'
import { DigitTask } from './task.ts'

const { HOST = '127.0.0.1', PORT = '8080', TIMEOUT = '5000', MAX_PENDING = '256' } = process.env

const flow = makeDigitFlow({ maxPending: Number(MAX_PENDING) })
const app = Fastify({
  bodyLimit: 8 * 1024 * 1024,
  requestTimeout: 30_000, // ms for a body to arrive
  return503OnClosing: false, // what arrives on open connections while we stop is still answered
  frameworkErrors: (error, _request, reply) => sendError(error, reply),
  clientErrorHandler: refuseConnection,
})
const page = await readFile(new URL('page.html', import.meta.url))
let stopping = false

app.removeAllContentTypeParsers()
app.addContentTypeParser(
  ['image/png', 'image/jpeg', 'application/octet-stream'],
  { parseAs: 'buffer' },
  (_request, body, done) => done(null, body),
)

app.post<{ Body?: Buffer }>('/predict', async (request, reply) => {
  const task = new DigitTask(request.body ?? Buffer.alloc(0))
  try {
    await flow.process(task, { timeout: Number(TIMEOUT), signal: hangUpOf(reply) })
    if (task.problem !== undefined) {
      return await reply.code(400).send({ error: { code: 'BAD_IMAGE', message: task.problem } })
    }
    return { ...task.answer, timings: task.timings }
  } finally {
    task.release() // its shared memory is free for the next one
  }
})

// A connection would stay open for the next request, and stopping would wait for it.
app.addHook('onSend', async (_request, reply) => {
  if (stopping) reply.header('connection', 'close')
})

app.get('/', (_request, reply) => reply.type('text/html; charset=utf-8').send(page))
app.get('/stats', () => flow.stats())
app.get('/health/live', (_request, reply) => sendHealth(flow.state !== 'failed', reply))
app.get('/health/ready', (_request, reply) => sendHealth(flow.isRunning && !stopping, reply))

// Milliseconds and shares to four decimals are enough for people.
app.setReplySerializer((answer) =>
  JSON.stringify(answer, (_key, value: unknown) =>
    typeof value === 'number' ? Number(value.toFixed(4)) : value,
  ),
)
app.setErrorHandler((error, _request, reply) => sendError(error, reply))
app.setNotFoundHandler(({ method, url }, reply) =>
  reply.code(404).send({ error: { code: 'NOT_FOUND', message: `There is no ${method} ${url}.` } }),
)

/** Aborted when the client goes away before it has its answer. */
function hangUpOf(reply: FastifyReply): AbortSignal {
  const hangUp = new AbortController()
  reply.raw.once('close', () => hangUp.abort())
  return hangUp.signal
}

function sendHealth(ok: boolean, reply: FastifyReply): FastifyReply {
  return reply.code(ok ? 200 : 503).send({ status: ok ? 'ok' : 'unavailable', flow: flow.state })
}

async function start(): Promise<void> {
  const address = await app.listen({ host: HOST, port: Number(PORT) }) // not ready before the flow is
  await flow.start()
  const sample = fileURLToPath(new URL('samples/seven-drawn.png', import.meta.url))
  console.log(`Draw a digit:  ${address}/`)
  console.log(
    `Or send one:   curl --data-binary @${relative('.', sample)} -H 'content-type: image/png' ${address}/predict`,
  )
  console.log('Ctrl-C stops it.')
}

async function stop(signal: string): Promise<void> {
  if (stopping) return // npm passes a Ctrl-C on to us, who have had it already
  stopping = true
  console.log(`${signal}: finishing what is in flight …`)
  const late = setTimeout(() => app.server.closeAllConnections(), 10_000)
  await app.close() // takes no more requests, waits for the answers under way
  clearTimeout(late)
  await flow.stop()
  console.log('Stopped.')
}

async function giveUp({ code, message }: NodeJS.ErrnoException): Promise<void> {
  console.error(
    code === 'EADDRINUSE'
      ? `Port ${PORT} of ${HOST} is taken. Choose another one: PORT=8081 npm run demo`
      : `The service cannot start: ${message}`,
  )
  process.exitCode = 1
  await app.close()
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void stop(signal))

try {
  await start()
} catch (error) {
  if (!stopping) await giveUp(error as NodeJS.ErrnoException)
}
