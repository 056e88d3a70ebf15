/**
 * Recognises handwritten digits over HTTP: `npm run demo`, then open the address that it prints.
 *
 * The web process only passes pictures on and answers. Decoding pictures and running the model happen in the worker processes of
 * a flow (flow.ts), so a slow picture never keeps another request waiting. The plugin starts the flow, tells of its health,
 * and lets both end cleanly at a signal.
 */
import { readFile } from 'node:fs/promises'
import { relative } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import aqueduct from 'aqueduct-ts/fastify'
import Fastify from 'fastify'
import { refuseConnection, sendError } from './errors.ts'
import { makeDigitFlow } from './flow.ts'
import { DigitTask } from './task.ts'

const { HOST = '127.0.0.1', PORT = '8080', TIMEOUT = '5000', MAX_PENDING = '256' } = process.env

const MAX_BYTES = 8 * 1024 * 1024
const BODY_TIMEOUT = 30_000 // ms for a body to arrive

const flow = makeDigitFlow({ maxPending: Number(MAX_PENDING) })
const app = Fastify({
  bodyLimit: MAX_BYTES,
  requestTimeout: BODY_TIMEOUT,
  return503OnClosing: false, // what arrives on open connections while we stop is still answered
  frameworkErrors: (error, _request, reply) => sendError(error, reply),
  clientErrorHandler: refuseConnection,
})
const page = await readFile(new URL('page.html', import.meta.url))

// Errors have a form of their own here: without it the plugin's handler would do.
await app.register(aqueduct, { flow, closeOnSignals: true, errorHandler: false })
app.setErrorHandler((error, _request, reply) => sendError(error, reply))
app.setNotFoundHandler(({ method, url }, reply) =>
  reply.code(404).send({ error: { code: 'NOT_FOUND', message: `There is no ${method} ${url}.` } }),
)

// Pictures are not parsed here, not even read: they stream into shared memory.
app.removeAllContentTypeParsers()
app.addContentTypeParser(
  ['image/png', 'image/jpeg', 'application/octet-stream'],
  (_request, stream, done) => done(null, stream),
)

app.post<{ Body?: Readable }>('/predict', async (request, reply) => {
  using task = new DigitTask() // its shared memory is free for the next one when we are done
  const signal = reply.hangUp
  if (request.body !== undefined) {
    const size = Number(request.headers['content-length'] ?? NaN) // chunked bodies do not say
    const limits = Number.isNaN(size) ? { maxSize: MAX_BYTES } : { size, maxSize: MAX_BYTES }
    await task.shareFrom('image', request.body, { ...limits, signal, timeout: BODY_TIMEOUT })
  }
  await flow.process(task, { timeout: Number(TIMEOUT), signal })
  if (task.problem !== undefined) {
    return await reply.code(400).send({ error: { code: 'BAD_IMAGE', message: task.problem } })
  }
  return { ...task.answer, timings: task.timings }
})

app.get('/', (_request, reply) => reply.type('text/html; charset=utf-8').send(page))
app.get('/stats', () => flow.stats())

// Milliseconds and shares to four decimals are enough for people.
app.setReplySerializer((answer) =>
  JSON.stringify(answer, (_key, value: unknown) =>
    typeof value === 'number' ? Number(value.toFixed(4)) : value,
  ),
)

function invite(address: string): void {
  const sample = fileURLToPath(new URL('samples/seven-drawn.png', import.meta.url))
  console.log(`Draw a digit:  ${address}/`)
  console.log(
    `Or send one:   curl --data-binary @${relative('.', sample)} -H 'content-type: image/png' ${address}/predict`,
  )
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
