import { Writable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AqueductError, Flow, FlowStep, QueueFullError } from '../../src/index.ts'
import aqueduct from '../../src/integrations/fastify.ts'
import { WorkHandler, type WorkTask } from '../fixtures/work.ts'
import { Journal, started, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { type Reply, addWorkRoute, applicationOf, listen, post } from './fastify-fixture.ts'

interface Record {
  readonly level: number
  readonly msg: string
  readonly code?: string
  readonly statusCode?: number
  readonly err?: { readonly type: string; readonly message: string; readonly stack: string }
}

/** What an application has logged. */
class Log extends Writable {
  readonly records: Record[] = []
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.records.push(JSON.parse(String(chunk)) as Record)
    done()
  }
}

describe('the errors of a flow behind Fastify', () => {
  let flow: Flow<WorkTask>
  let log: Log
  let app: FastifyInstance
  let url: string

  beforeEach(async () => {
    flow = await started(
      new Flow([new FlowStep(WorkHandler)], { maxPending: 1, logger: new Journal() }),
    )
    log = new Log()
    app = await applicationOf(flow, {}, { bodyLimit: 1_000, logger: { stream: log } })
    app.get('/quota', () => {
      throw Object.assign(new Error('ten requests a minute'), { statusCode: 429 })
    })
    app.get('/broken', () => {
      throw new Error('a bug of the application')
    })
    url = await listen(app)
  })
  afterEach(() => app.close())

  const logged = (text: string): Record | undefined =>
    log.records.find(({ msg }) => msg.includes(text))

  test('a handler that fails is 500: the log has all of it, the sender no detail', async () => {
    const { status, body } = await post(url, { throws: 'the model is at /secret' })
    expect(status).toBe(500)
    expect(body).toEqual({
      statusCode: 500,
      code: 'INTERNAL',
      error: 'Internal Server Error',
      message: 'The service failed. This is not your fault.',
    })
    const record = logged('step WorkHandler failed')
    expect(record).toMatchObject({ level: 50, err: { type: 'HandlerError' } })
    expect(record?.err?.message).toContain('the model is at /secret')
    expect(record?.err?.stack).toContain('work.ts')
  })

  test('a full queue is 503 with retry-after, a missed deadline 504, neither an error of the log', async () => {
    await using gate = await Gate.close()
    const late = post(url, { gate: gate.name, timeout: 200 })
    await gate.visited()
    const full = await post(url)
    expect(full).toMatchObject({ status: 503, body: { code: 'AQ_QUEUE_FULL', statusCode: 503 } })
    expect(Number(full.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await late).toMatchObject({
      status: 504,
      body: { code: 'AQ_TIMEOUT', error: 'Gateway Timeout' },
    })
    gate.open()
    expect(logged('was not finished')).toMatchObject({ code: 'AQ_TIMEOUT', statusCode: 504 })
    expect(log.records.filter(({ level }) => level >= 50)).toEqual([])
  })

  test('a hang-up is 499 in the log', async () => {
    await using gate = await Gate.close()
    const hangUp = new AbortController()
    post(url, { gate: gate.name }, { signal: hangUp.signal }).catch(() => undefined)
    await gate.visited()
    hangUp.abort()
    await until(() => logged('cancelled') !== undefined, 'the hang-up is logged')
    expect(logged('cancelled')).toMatchObject({ code: 'AQ_CANCELLED', statusCode: 499 })
    gate.open()
  })

  test("what is not the flow's is Fastify's as ever", async () => {
    expect(await post(url, { id: 'seven' as never })).toMatchObject({
      status: 400,
      body: { code: 'FST_ERR_VALIDATION', message: 'body/id must be integer' },
    })
    expect(await post(url, { throws: 'x'.repeat(1_000) })).toMatchObject({
      status: 413,
      body: { code: 'FST_ERR_CTP_BODY_TOO_LARGE' },
    })
    const quota = await fetch(`${url}/quota`)
    expect(quota.status).toBe(429)
    expect(await quota.json()).toMatchObject({ message: 'ten requests a minute' })
    const broken = await fetch(`${url}/broken`)
    expect(broken.status).toBe(500)
    expect(await broken.json()).toMatchObject({ message: 'a bug of the application' })
  })
})

const handler = (error: Error, _request: FastifyRequest, reply: FastifyReply): FastifyReply =>
  reply.send({ own: error.name })

describe("an application's own error handler", () => {
  let app: FastifyInstance
  const flow = new Flow([new FlowStep(WorkHandler)])
  const options = { flow, exitOnFail: false, startTimeout: 0 } // it never runs
  afterEach(() => app.close())

  /** A route that throws an error of its own, and one that wants the flow. */
  function addRoutes(scope: FastifyInstance): void {
    scope.get('/other', () => {
      throw new RangeError('not of a flow')
    })
    addWorkRoute(scope, flow)
  }

  const ask = async (): Promise<[Reply['body'], Reply['body']]> => {
    const other = await app.inject('/other')
    const work = await app.inject({ method: 'POST', url: '/work', payload: {} })
    return [other.json(), work.json()]
  }

  test('gets all errors but those of flows', async () => {
    app = Fastify()
    app.setErrorHandler(handler)
    await app.register(aqueduct, options)
    addRoutes(app)
    expect(await ask()).toMatchObject([{ own: 'RangeError' }, { code: 'AQ_NOT_RUNNING' }])
  })

  test('gets the same where nothing was awaited', async () => {
    app = Fastify()
    void app.register(aqueduct, options)
    addRoutes(app)
    app.setErrorHandler(handler)
    expect(await ask()).toMatchObject([{ own: 'RangeError' }, { code: 'AQ_NOT_RUNNING' }])
  })

  test('of an inner scope comes first, and passes on what it does not want', async () => {
    app = Fastify()
    await app.register(aqueduct, options)
    await app.register(async (scope) => {
      scope.setErrorHandler((error: Error, request, reply) => {
        if (AqueductError.is(error)) throw error
        return handler(error, request, reply)
      })
      addRoutes(scope)
    })
    expect(await ask()).toMatchObject([{ own: 'RangeError' }, { code: 'AQ_NOT_RUNNING' }])
  })

  test('is the only one where that of the plugin is switched off', async () => {
    app = Fastify()
    await app.register(aqueduct, { ...options, errorHandler: false })
    app.setErrorHandler(handler)
    addRoutes(app)
    expect(await ask()).toEqual([{ own: 'RangeError' }, { own: 'NotRunningError' }])
  })

  test('errors of another copy of the library are known by their brand', async () => {
    app = Fastify()
    await app.register(aqueduct, options)
    const error = Object.assign(new Error('full'), { code: new QueueFullError(1).code })
    Object.defineProperty(error, Symbol.for('aqueduct-ts.error'), { value: true })
    app.get('/copy', () => {
      throw error
    })
    expect((await app.inject('/copy')).statusCode).toBe(503)
  })
})
