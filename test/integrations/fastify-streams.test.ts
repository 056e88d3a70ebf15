import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Flow } from '../../src/index.ts'
import aqueduct from '../../src/integrations/fastify.ts'
import { SumHandler, SumTask } from '../fixtures/sum.ts'
import { started } from '../support/flow.ts'
import { RawClient } from '../support/http-client.ts'
import { listen } from './fastify-fixture.ts'

/** Sends half of a request. */
const begin = (client: RawClient): void =>
  client.send(
    'POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\ncontent-length: 4\r\n\r\nab',
  )

describe('a route that gets its body as a stream', () => {
  let app: FastifyInstance
  let url: string
  let flow: Flow<SumTask>
  let onBody: (body: Readable, hangUp: AbortSignal) => void

  beforeEach(async () => {
    flow = await started(new Flow([SumHandler]))
    app = Fastify()
    await app.register(aqueduct, { flow })
    app.addContentTypeParser('application/octet-stream', (_request, stream, done) =>
      done(null, stream),
    )
    app.post<{ Body: Readable }>('/', async ({ body }, reply) => {
      onBody(body, reply.hangUp)
      const { length } = await buffer(body)
      return (await flow.process(new SumTask(length), { signal: reply.hangUp })).sum
    })
    url = await listen(app)
  })
  afterEach(() => app.close())

  test('reads it as it comes', async () => {
    await using client = await RawClient.connect(url)
    const reading = new Promise<AbortSignal>((resolve) => {
      onBody = (_, hangUp) => resolve(hangUp)
    })
    begin(client)
    const hangUp = await reading // before all of it has come
    client.send('cd')
    await client.receives('\r\n\r\n5')
    expect(hangUp.aborted).toBe(false)
  })

  test('is told when the client hangs up in the middle of it, and no task is made', async () => {
    await using client = await RawClient.connect(url)
    const hungUp = new Promise<AbortSignal>((resolve) => {
      onBody = (_, hangUp) => {
        hangUp.addEventListener('abort', () => resolve(hangUp))
        client.hangUp()
      }
    })
    begin(client)
    expect((await hungUp).aborted).toBe(true)
    expect(flow.stats().tasks.admitted).toBe(0)
  })
})
