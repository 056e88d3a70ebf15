import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, expect, test } from 'vitest'
import { Flow, FlowClient, FlowStep } from '../../src/index.ts'
import aqueduct from '../../src/integrations/fastify.ts'
import { LifeTask, SlowStart } from '../fixtures/life.ts'
import { SumHandler, SumTask } from '../fixtures/sum.ts'
import { LastHandler, LastTask } from '../fixtures/web.ts'
import { WorkHandler } from '../fixtures/work.ts'
import { Journal, rejection, started } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { listen, reaches, statusOf } from './fastify-fixture.ts'

let app: FastifyInstance
afterEach(() => app.close())

/** The flows of an application, as a plugin of routes finds them. */
interface Named {
  readonly sums: Flow<SumTask>
  readonly lives: Flow<LifeTask>
}

test('several flows live in one application, each by its name', async () => {
  await using gate = await Gate.close()
  const sums = new Flow([SumHandler])
  const lives = new Flow([new FlowStep(SlowStart, { args: [gate.name] })])
  app = Fastify()
  await app.register(aqueduct, { flows: { sums, lives } })
  await app.register(async (scope) => {
    const flows = scope.getDecorator<Named>('flows')
    scope.get('/sum', async () => (await flows.sums.process(new SumTask(1))).sum)
    scope.get('/life', async () => (await flows.lives.process(new LifeTask())).handledBy)
  })
  const url = await listen(app)

  // One that runs is not kept waiting for the other.
  await reaches(sums, 'running')
  expect(await (await fetch(`${url}/sum`)).text()).toBe('2')
  expect(await statusOf(url, '/life')).toBe(503)
  const ready = await fetch(`${url}/health/ready`)
  expect(ready.status).toBe(503)
  expect(await ready.json()).toEqual({
    status: 'unavailable',
    flows: { sums: 'running', lives: 'starting' },
  })

  gate.open()
  await reaches(lives, 'running')
  expect(await (await fetch(`${url}/life`)).text()).toBe('SlowStart')
  expect(await statusOf(url, '/health/ready')).toBe(200)

  await app.close()
  expect([sums.state, lives.state]).toEqual(['stopped', 'stopped'])
})

test('a flow that fails is told by the health routes, and the others go on serving', async () => {
  const sums = await started(new Flow([SumHandler]))
  const last = await started(
    new Flow([LastHandler], { onWorkerDeath: 'stop', logger: new Journal() }),
  )
  app = Fastify()
  await app.register(aqueduct, { flows: { sums, last }, exitOnFail: false })
  app.get('/sum', async () => (await sums.process(new SumTask(1))).sum)
  app.get('/last', () => last.process(new LastTask()))
  const url = await listen(app)
  expect(await statusOf(url, '/health/live')).toBe(200)

  expect(await statusOf(url, '/last')).toBe(500) // its worker died of it
  await reaches(last, 'failed')
  expect(await statusOf(url, '/health/live')).toBe(503)
  expect(await statusOf(url, '/health/ready')).toBe(503)
  expect(await statusOf(url, '/last')).toBe(503)
  expect(await (await fetch(`${url}/sum`)).text()).toBe('2')
})

test('a flow that runs and is not ready is told by the readiness route, with the reason', async () => {
  await using gate = await Gate.close()
  const journal = new Journal()
  const flow = new Flow([new FlowStep(SlowStart, { args: [gate.name] })], { logger: journal })
  app = Fastify()
  await app.register(aqueduct, { flow })
  const url = await listen(app)
  await gate.visited()
  gate.letGo()
  await reaches(flow, 'running')
  expect(await statusOf(url, '/health/ready')).toBe(200)

  process.kill(flow.stats().workers[0]!.pid, 'SIGKILL')
  await journal.reached('warn', 1)
  const ready = await fetch(`${url}/health/ready`)
  expect(ready.status).toBe(503)
  expect(await ready.json()).toEqual({
    status: 'unavailable',
    flows: { flow: 'running' },
    reasons: { flow: 'step SlowStart is not ready: no worker of it is ready' },
  })
  expect(await statusOf(url, '/health/live')).toBe(200)

  await gate.visited(2)
  gate.open()
  await journal.reached('info', 1)
  expect(await statusOf(url, '/health/ready')).toBe(200)
})

test('a client of a flow in another process is as good as the flow', async () => {
  const address = `aqueduct-fastify-${process.pid}`
  await using flow = new Flow([SumHandler], { address })
  const client = new FlowClient({ address, task: SumTask, logger: new Journal() })
  app = Fastify()
  await app.register(aqueduct, { flows: { sums: client } })
  app.get('/sum', async (_request, reply) => {
    return (await client.process(new SumTask(1), { signal: reply.hangUp })).sum
  })
  const url = await listen(app)
  expect(await statusOf(url, '/sum')).toBe(503) // there is no flow yet
  expect(await statusOf(url, '/health/ready')).toBe(503)

  await flow.start()
  await reaches(client, 'running')
  expect(await (await fetch(`${url}/sum`)).text()).toBe('2')
  expect(await statusOf(url, '/health/ready')).toBe(200)

  await flow.stop() // to be replaced by another: no reason to end
  await reaches(client, 'starting')
  expect(await statusOf(url, '/sum')).toBe(503)
  expect(await statusOf(url, '/health/ready')).toBe(503)
  expect(await statusOf(url, '/health/live')).toBe(200)

  await app.close()
  expect(client.state).toBe('stopped')
})

test('the health routes can be elsewhere, or nowhere', async () => {
  const flow = await started(new Flow([WorkHandler]))
  app = Fastify()
  await app.register(aqueduct, { flow, liveness: false, readiness: '/ready' })
  const url = await listen(app)
  expect(await statusOf(url, '/ready')).toBe(200)
  expect(await statusOf(url, '/health/ready')).toBe(404)
  expect(await statusOf(url, '/health/live')).toBe(404)
})

test('a path that the application has already is an error that names it', async () => {
  const flow = new Flow([WorkHandler])
  app = Fastify()
  app.get('/health/ready', () => 'mine')
  expect(
    await rejection(Promise.resolve(app.register(aqueduct, { flow, exitOnFail: false }))),
  ).toMatchObject({ code: 'FST_ERR_DUPLICATED_ROUTE', message: expect.stringContaining('/ready') })
})

test('a response has one signal, and none before it is asked for', async () => {
  const flow = await started(new Flow([WorkHandler]))
  app = Fastify()
  await app.register(aqueduct, { flow })
  let signal: AbortSignal | undefined
  let listeners = 0
  app.get('/', (_request, reply) => {
    listeners = reply.raw.listenerCount('close')
    signal = reply.hangUp
    expect(reply.hangUp).toBe(signal)
    expect(reply.raw.listenerCount('close')).toBe(listeners + 1)
    return 'answered'
  })
  const url = await listen(app)
  const closed = new Promise((resolve) =>
    app.server.once('request', (_request, response) => response.once('close', resolve)),
  )
  expect(await (await fetch(url)).text()).toBe('answered')
  await closed
  expect(signal?.aborted).toBe(false) // it had its answer
})
