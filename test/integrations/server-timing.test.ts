import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import aqueduct, { type AqueductOptions } from '../../src/integrations/fastify.ts'
import { SyncHandler, WorkHandler, WorkTask } from '../fixtures/work.ts'
import { describeIsolations } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { applicationOf, listen, post, reaches } from './fastify-fixture.ts'

interface Metric {
  readonly name: string
  readonly dur: number
  readonly desc: string | undefined
}

/** What a browser reads in the header, by the grammar of the Server Timing specification. Throws where it does not fit. */
function metricsOf(headers: Headers): Metric[] {
  const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
  const one = new RegExp(`^(${token});dur=(\\d+(?:\\.\\d+)?)(?:;desc="([^"\\\\]*)")?$`)
  const header = headers.get('server-timing')
  if (header === null) return []
  return header.split(/, /).map((metric) => {
    const match = one.exec(metric)
    if (match === null) throw new Error(`not a metric: ${metric}`)
    const [, name = '', dur, desc] = match
    return { name, dur: Number(dur), desc }
  })
}

describeIsolations('Server-Timing', (isolation) => {
  let app: FastifyInstance
  afterEach(() => app.close())

  const serve = async (flow: Flow<WorkTask>, options: AqueductOptions = {}): Promise<string> => {
    app = await applicationOf(flow, { serverTiming: true, ...options })
    const url = await listen(app)
    await reaches(flow, 'running')
    return url
  }
  const work = (options = {}): Flow<WorkTask> =>
    new Flow(
      [
        new FlowStep(WorkHandler, { isolation, name: 'détecter, "draw"' }),
        new FlowStep(SyncHandler, { isolation }),
        new FlowStep(SyncHandler, { isolation }),
      ],
      options,
    )

  test('an answer says where the time of its task went', async () => {
    const url = await serve(work())
    const begun = performance.now()
    const { status, headers } = await post(url)
    const elapsed = performance.now() - begun
    expect(status).toBe(200)
    const metrics = metricsOf(headers)
    expect(metrics.map(({ name }) => name)).toEqual([
      'flow',
      ...['d_tecter___draw_', 'SyncHandler', 'SyncHandler_2'].flatMap((step) =>
        ['queue', 'batch', 'handle'].map((what) => `flow.${step}.${what}`),
      ),
    ])
    const [total, ...parts] = metrics as [Metric, ...Metric[]]
    expect(total.dur).toBeLessThan(elapsed)
    expect(total.dur).toBeGreaterThan(0)
    expect(parts.reduce((sum, { dur }) => sum + dur, 0)).toBeLessThanOrEqual(total.dur + 0.01)
    expect(metrics[2]!.desc).toBe('1 task')
  })

  test('requests at the same time have each their own', async () => {
    await using gate = await Gate.close()
    const url = await serve(
      new Flow([new FlowStep(WorkHandler, { isolation, batchSize: 2, batchTimeout: 10_000 })]),
    )
    const first = [post(url, { gate: gate.name }), post(url)]
    await gate.visited()
    const since = performance.now()
    const second = [post(url), post(url)]
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    gate.open()
    const held = performance.now() - since
    const replies = (await Promise.all([...first, ...second])).map(({ headers }) =>
      metricsOf(headers),
    )
    expect(replies.map((metrics) => metrics.length)).toEqual([4, 4, 4, 4])
    expect(replies.map((metrics) => metrics[2]!.desc)).toEqual(Array.from(replies, () => '2 tasks'))
    expect(replies[0]![3]!.dur).toBeGreaterThanOrEqual(held)
  })

  test('a request with several tasks, or of several flows, has them all', async () => {
    const flows = {
      one: work({ metrics: false }),
      two: new Flow([new FlowStep(SyncHandler, { isolation })]),
    }
    app = Fastify()
    await app.register(aqueduct, { flows, serverTiming: true })
    app.get('/', async (_, reply) => {
      await flows.one.process(new WorkTask(1))
      await Promise.all([2, 3].map((id) => flows.two.process(new WorkTask(id))))
      return reply.header('server-timing', 'db;dur=5').send({})
    })
    const url = await listen(app)
    await Promise.all(Object.values(flows).map((flow) => reaches(flow, 'running')))
    const { headers } = await fetch(url)
    const names = metricsOf(headers).map(({ name }) => name)
    const two = ['two', 'two.SyncHandler.queue', 'two.SyncHandler.batch', 'two.SyncHandler.handle']
    // Without metrics there is but the time in all; what the application says itself stays.
    expect(names).toEqual(['db', 'one', ...two, ...two])
  })

  test('an answer to a failure says how long it took, and the code', async () => {
    const url = await serve(work())
    const { status, headers } = await post(url, { throws: 'no' })
    expect(status).toBe(500)
    expect(metricsOf(headers)).toEqual([
      { name: 'flow', dur: expect.any(Number) as number, desc: 'AQ_HANDLER_FAILED' },
    ])
  })

  test('answers without a task, and applications that did not ask for it, have none', async () => {
    const url = await serve(work())
    expect((await fetch(`${url}/health/live`)).headers.get('server-timing')).toBeNull()
    await app.close()
    const silent = await serve(work(), { serverTiming: false })
    expect((await post(silent)).headers.get('server-timing')).toBeNull()
  })
})

test('the option is true or false', async () => {
  const app = Fastify()
  const options = {
    flow: new Flow([WorkHandler]),
    serverTiming: 'yes',
  } as unknown as AqueductOptions
  await expect(app.register(aqueduct, options)).rejects.toMatchObject({ option: 'serverTiming' })
})
