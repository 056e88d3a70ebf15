import { once } from 'node:events'
import { connect } from 'node:http2'
import Fastify from 'fastify'
import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import aqueduct from '../../src/integrations/fastify.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { started, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

test('over HTTP/2 too a client that hangs up cancels its task, and closing answers what is under way', async () => {
  await using gate = await Gate.close()
  const flow = await started(new Flow([new FlowStep(WorkHandler)]))
  const app = Fastify({ http2: true })
  await app.register(aqueduct, { flow })
  app.get('/', async (_request, reply) => {
    const task = new WorkTask(1, { gate: gate.name })
    return (await flow.process(task, { timeout: Infinity, signal: reply.hangUp })).call
  })
  const client = connect(await app.listen({ host: '127.0.0.1', port: 0 }))
  client.on('error', () => undefined)

  const first = client.request({ ':path': '/' }).resume()
  await gate.visited()
  first.close()
  await until(() => flow.stats().tasks.cancelled === 1, 'the task is cancelled')
  gate.letGo()

  const second = client.request({ ':path': '/' }).resume()
  const answered = once(second, 'response')
  await gate.visited(2)
  const closed = app.close()
  client.close()
  gate.open()
  expect((await answered)[0]).toMatchObject({ ':status': 200 })
  await closed
  expect(flow.stats().tasks).toMatchObject({ admitted: 2, completed: 1, cancelled: 1, pending: 0 })
})
