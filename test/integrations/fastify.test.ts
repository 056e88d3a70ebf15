import { once } from 'node:events'
import type { Socket } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, describe, expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import aqueduct from '../../src/integrations/fastify.ts'
import { LifeTask, SlowStart, ThrowingStart } from '../fixtures/life.ts'
import { ListenHandler, ListenTask } from '../fixtures/listening.ts'
import { WorkHandler, type WorkTask } from '../fixtures/work.ts'
import {
  describeIsolations,
  pidsOf,
  rejection,
  started,
  survivors,
  until,
} from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { RawClient } from '../support/http-client.ts'
import { applicationOf, listen, post, reaches, statusOf } from './fastify-fixture.ts'

describeIsolations('the Fastify plugin', (isolation) => {
  const work = (options = {}): Flow<WorkTask> =>
    new Flow([new FlowStep(WorkHandler, { isolation })], options)
  const slow = (gate: Gate): Flow<LifeTask> =>
    new Flow([new FlowStep(SlowStart, { isolation, args: [gate.name] })])

  let app: FastifyInstance
  afterEach(() => app.close())

  describe('start', () => {
    test('listens at once, and answers 503 until the flow runs', async () => {
      await using gate = await Gate.close()
      const flow = slow(gate)
      app = Fastify()
      await app.register(aqueduct, { flow })
      app.get('/', async () => (await flow.process(new LifeTask())).handledBy)
      const url = await listen(app)
      await gate.visited()

      const early = await fetch(url)
      expect(early.status).toBe(503)
      expect(Number(early.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(await early.json()).toEqual({
        statusCode: 503,
        code: 'AQ_NOT_RUNNING',
        error: 'Service Unavailable',
        message: expect.any(String),
      })
      expect(await statusOf(url, '/health/live')).toBe(200)
      expect(await statusOf(url, '/health/ready')).toBe(503)

      gate.open()
      await reaches(flow, 'running')
      expect(await (await fetch(url)).text()).toBe('SlowStart')
      expect(await statusOf(url, '/health/ready')).toBe(200)
    })

    test('takes longer than Fastify waits for a plugin', async () => {
      await using gate = await Gate.close()
      const flow = slow(gate)
      app = Fastify({ pluginTimeout: 300 })
      await app.register(aqueduct, { flow })
      await app.ready() // would be rejected by the time that it waited for the flow
      expect(flow.state).toBe('starting')
      gate.open()
      await reaches(flow, 'running')
    })

    test('leaves a flow alone that runs already', async () => {
      const flow = await started(work())
      const pids = pidsOf(flow)
      app = await applicationOf(flow)
      const url = await listen(app)
      expect(await post(url)).toMatchObject({ status: 200, body: { call: 1 } })
      expect(pidsOf(flow)).toEqual(pids)
      expect(await statusOf(url, '/health/live')).toBe(200)
    })

    test('that fails is told by the health routes, where it is not the end of the program', async () => {
      const flow = new Flow([new FlowStep(ThrowingStart, { isolation })])
      app = Fastify()
      await app.register(aqueduct, { flow, exitOnFail: false })
      const url = await listen(app)
      await reaches(flow, 'stopped')
      const live = await fetch(`${url}/health/live`)
      expect(live.status).toBe(503)
      expect(await live.json()).toEqual({ status: 'unavailable', flows: { flow: 'stopped' } })
      expect(await statusOf(url, '/health/ready')).toBe(503)
    })

    test('that is late is made up for by a later one', async () => {
      await using gate = await Gate.close()
      const flow = slow(gate)
      app = Fastify()
      await app.register(aqueduct, { flow, exitOnFail: false, startTimeout: 0 })
      const url = await listen(app)
      await reaches(flow, 'stopped')
      expect(await statusOf(url, '/health/live')).toBe(503)
      gate.open()
      await flow.start()
      expect(await statusOf(url, '/health/live')).toBe(200)
      expect(await statusOf(url, '/health/ready')).toBe(200)
    })
  })

  describe('close', () => {
    test('answers what is under way, then stops the flow', async () => {
      await using gate = await Gate.close()
      const flow = work()
      app = await applicationOf(flow)
      const url = await listen(app)
      await reaches(flow, 'running')
      const pids = pidsOf(flow)
      const replies = [1, 2, 3].map((id) => post(url, { id, gate: gate.name }))
      await admitted(flow, 3)
      const closing = new Promise((resolve) => app.server.once('close', resolve))
      const closed = app.close()
      expect(flow.isRunning).toBe(true)
      gate.open()
      for (const reply of await Promise.all(replies)) {
        expect(reply.status).toBe(200)
        expect(reply.headers.get('connection')).toBe('close')
      }
      await closing
      await closed
      expect(flow.state).toBe('stopped')
      expect(flow.stats().tasks).toMatchObject({ admitted: 3, completed: 3, pending: 0 })
      expect(survivors(pids)).toEqual([])
    })

    test('is not kept waiting by clients that keep their connections', async () => {
      const flow = work()
      app = await applicationOf(flow, { closeTimeout: 1_000_000 }, { keepAliveTimeout: 1_000_000 })
      const url = await listen(app)
      await reaches(flow, 'running')
      await using used = await RawClient.connect(url)
      await using unused = await RawClient.connect(url)
      used.get('/health/ready')
      await used.receives('"ok"')
      await app.close()
      await Promise.all([used.ended(), unused.ended()])
      expect(flow.state).toBe('stopped')
    })

    test('is told to whoever asks whether the service is ready', async () => {
      const flow = await started(work())
      app = await applicationOf(flow, {}, { return503OnClosing: false })
      const url = await listen(app)
      const accepted = once(app.server, 'connection')
      await using probe = await RawClient.connect(url)
      const [socket] = (await accepted) as [Socket]
      probe.send('GET /health/ready HTTP/1.1\r\n')
      await until(() => socket.bytesRead > 0, 'half of the request has come')
      await using other = await RawClient.connect(url)
      const closed = app.close()
      await other.ended()
      expect(flow.isRunning).toBe(true)
      probe.send('host: a\r\n\r\n')
      await closed
      await probe.ended()
      expect(probe.received).toMatch(/^HTTP\/1.1 503 [^]*"status":"unavailable"/)
    })

    test('cuts the connections that are left at its timeout, and the flow goes all the same', async () => {
      await using gate = await Gate.close()
      const flow = work()
      app = await applicationOf(flow, { closeTimeout: 100 })
      const url = await listen(app)
      await reaches(flow, 'running')
      const reply = rejection(post(url, { gate: gate.name }))
      await gate.visited()
      await app.close()
      expect(await reply).toMatchObject({ cause: { code: 'UND_ERR_SOCKET' } })
      expect(flow.state).toBe('stopped')
      expect(flow.stats().tasks).toMatchObject({ admitted: 1, pending: 0 })
    })

    test('abandons a start', async () => {
      await using gate = await Gate.close()
      const flow = slow(gate)
      app = Fastify()
      await app.register(aqueduct, { flow }) // an abandoned start is no failure: this program goes on
      await app.ready()
      await gate.visited()
      await app.close()
      expect(flow.state).toBe('stopped')
    })

    test('of an application that never was ready stops a flow that the application has started', async () => {
      const flow = await started(work())
      app = await applicationOf(flow)
      await app.close()
      expect(flow.state).toBe('stopped')
    })

    test('requests that find the flow stopped are answered with 503', async () => {
      const flow = await started(work())
      app = await applicationOf(flow)
      const url = await listen(app)
      await flow.stop()
      expect(await post(url)).toMatchObject({ status: 503, body: { code: 'AQ_NOT_RUNNING' } })
      expect(await statusOf(url, '/health/ready')).toBe(503)
    })
  })

  describe('a client that hangs up', () => {
    test('has its task withdrawn, and no worker sees it', async () => {
      await using gate = await Gate.close()
      const flow = await started(work())
      app = await applicationOf(flow)
      const url = await listen(app)
      const first = post(url, { gate: gate.name })
      await gate.visited()

      const hangUp = new AbortController()
      const second = rejection(post(url, {}, { signal: hangUp.signal }))
      const answered = new Promise((resolve) =>
        app.server.once('request', (_request, response) => response.once('close', resolve)),
      )
      await admitted(flow, 2)
      hangUp.abort()
      await Promise.all([second, answered])
      expect(flow.stats().tasks).toMatchObject({ admitted: 2, cancelled: 1, pending: 1 })

      gate.open()
      expect((await first).body.call).toBe(1)
      expect((await post(url)).body.call).toBe(2) // the second one was never handled
    })

    test('has its task dropped from the batch that is forming', async () => {
      const flow = await started(
        new Flow([new FlowStep(WorkHandler, { isolation, batchSize: 2, batchTimeout: Infinity })]),
      )
      app = await applicationOf(flow)
      const url = await listen(app)
      const hangUp = new AbortController()
      const gone = rejection(post(url, { id: 1 }, { signal: hangUp.signal }))
      await admitted(flow, 1)
      await until(() => flow.stats().steps[0]!.queued === 0, 'it is in the batch')
      hangUp.abort()
      await gone
      await until(() => flow.stats().tasks.cancelled === 1, 'the task is cancelled')
      const replies = await Promise.all([2, 3].map((id) => post(url, { id })))
      // The first call, of a batch of the two that are left.
      expect(replies.map(({ body }) => body)).toEqual([
        { call: 1, batch: expect.arrayContaining([2, 3]) },
        { call: 1, batch: expect.arrayContaining([2, 3]) },
      ])
      expect(replies[0]!.body.batch).toHaveLength(2)
    })

    test('is heard of by the handler that has its task, which stops', async () => {
      await using gate = await Gate.close()
      const flow = await started(new Flow([new FlowStep(ListenHandler, { isolation })]))
      app = Fastify()
      await app.register(aqueduct, { flow, exitOnFail: false })
      app.post('/listen', async (_request, reply) =>
        flow.process(new ListenTask(1, 'throw', { gate: gate.name }), {
          timeout: Infinity,
          signal: reply.hangUp,
        }),
      )
      const url = await listen(app)
      const hangUp = new AbortController()
      const gone = rejection(fetch(`${url}/listen`, { method: 'POST', signal: hangUp.signal }))
      await gate.visited()
      hangUp.abort()
      await gone
      const { heard, call } = await flow.process(new ListenTask(2), { timeout: Infinity })
      expect([...heard!]).toEqual([[1, 'AQ_CANCELLED']])
      expect(call).toBe(2)
      expect(flow.stats().tasks).toMatchObject({ admitted: 2, cancelled: 1, completed: 1 })
    })

    test('has a task cancelled that a worker has in its hands', async () => {
      await using gate = await Gate.close()
      const flow = await started(work())
      app = await applicationOf(flow)
      const url = await listen(app)
      const hangUp = new AbortController()
      const reply = rejection(post(url, { gate: gate.name }, { signal: hangUp.signal }))
      await gate.visited()
      hangUp.abort()
      await reply
      await until(() => flow.stats().tasks.cancelled === 1, 'the task is cancelled')
      expect(flow.stats().tasks).toMatchObject({ admitted: 1, cancelled: 1, pending: 0 })
      gate.open()
    })
  })
})

/** Waits until a flow has been given so many tasks. */
const admitted = (flow: Flow<WorkTask>, count: number): Promise<void> =>
  until(() => flow.stats().tasks.admitted === count, `${count} tasks are admitted`)
