// The web server that `workloads/upload.ts` watches: one route, which takes bodies in one of several ways and has a
// worker read them.
import type { IncomingMessage } from 'node:http'
import { type AddressInfo } from 'node:net'
import { Flow } from 'aqueduct-ts'
import fastify from 'fastify'
import { BodyHandler, BodyTask } from '../handlers/body.ts'
import type { Ending, Listening, ServerPlan } from './upload-messages.ts'

const { route, arenaBytes, maxBytes }: ServerPlan = JSON.parse(process.argv[2]!)

const flow = new Flow([BodyHandler], { memory: arenaBytes })
await flow.start()
const app = fastify({ bodyLimit: maxBytes })
const type = 'application/octet-stream'

if (route === 'buffer') {
  app.addContentTypeParser(type, { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.post<{ Body: Buffer }>('/', async (request) => {
    using task = new BodyTask()
    task.body = request.body
    const { sum } = await flow.process(task, { timeout: 60_000 })
    return { sum }
  })
} else {
  app.addContentTypeParser(type, (_request, stream, done) => done(null, stream))
  app.post<{ Body: IncomingMessage }>('/', async (request) => {
    using task = new BodyTask()
    const length = request.headers['content-length']
    const size = length === undefined ? undefined : Number(length)
    await task.shareFrom('body', request.body, { size, maxSize: maxBytes, timeout: 60_000 })
    const { sum } = await flow.process(task, { timeout: 60_000 })
    return { sum }
  })
}

await app.listen({ host: '127.0.0.1', port: 0 })
const { port } = app.server.address() as AddressInfo
const listening: Listening = { port, workers: flow.stats().workers.map(({ pid }) => pid) }
process.send!(listening)

process.once('message', () => {
  void (async () => {
    await app.close()
    const ending: Ending = { blocksInUse: flow.stats().memory.blocksInUse }
    process.send!(ending)
    await flow.stop()
    process.disconnect()
  })()
})
