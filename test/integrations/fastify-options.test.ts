import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, expect, test, vi } from 'vitest'
import { Flow } from '../../src/index.ts'
import aqueduct, { type AqueductOptions } from '../../src/integrations/fastify.ts'
import { SumHandler } from '../fixtures/sum.ts'
import { rejection } from '../support/flow.ts'

let app: FastifyInstance
afterEach(() => app.close())

const refusalOf = (options: object): Promise<unknown> => {
  app = Fastify()
  return rejection(Promise.resolve(app.register(aqueduct, options as AqueductOptions)))
}

const flow = new Flow([SumHandler])

test.each<[object, string, string]>([
  [{}, 'flow', 'the Fastify plugin: give it either { flow } or { flows: { name: flow, … } }'],
  [
    { flow, flows: { flow } },
    'flows',
    'the Fastify plugin: give it either { flow } or { flows: { name: flow, … } }',
  ],
  [
    { flow, exitOnFial: false },
    'exitOnFial',
    "the Fastify plugin has no option 'exitOnFial'; did you mean 'exitOnFail'?",
  ],
  [
    { flow: SumHandler },
    'flow',
    "the Fastify plugin: 'flow' must be a Flow or a FlowClient, not a function",
  ],
  [{ flows: {} }, 'flows', "the Fastify plugin: 'flows' must name at least one flow"],
  [
    { flows: { sum: {} } },
    'sum',
    "'flows' of the Fastify plugin: 'sum' must be a Flow or a FlowClient, not an object",
  ],
  [
    { flow, startTimeout: Infinity },
    'startTimeout',
    "the Fastify plugin: 'startTimeout' must be a finite number of milliseconds of at least 0 and at most 2147483647, not Infinity",
  ],
  [
    { flow, closeTimeout: '10s' },
    'closeTimeout',
    "the Fastify plugin: 'closeTimeout' must be a finite number of milliseconds of at least 0 and at most 2147483647, not '10s'",
  ],
  [
    { flow, exitOnFail: 1 },
    'exitOnFail',
    "the Fastify plugin: 'exitOnFail' must be true or false, not 1",
  ],
  [
    { flow, closeOnSignals: ['SIGTERMINATE'] },
    'closeOnSignals',
    "the Fastify plugin: 'closeOnSignals' must be true, false or a list of signals, such as ['SIGTERM'], not an array",
  ],
  [
    { flow, liveness: 'live' },
    'liveness',
    "the Fastify plugin: 'liveness' must be a path that begins with '/', or false, not 'live'",
  ],
  [
    { flow, readiness: true },
    'readiness',
    "the Fastify plugin: 'readiness' must be a path that begins with '/', or false, not true",
  ],
  [
    { flow, errorHandler: () => undefined },
    'errorHandler',
    "the Fastify plugin: 'errorHandler' must be true or false, not a function",
  ],
])('%o is refused, and the message says why', async (options, option, message) => {
  expect(await refusalOf(options)).toMatchObject({ code: 'AQ_INVALID_OPTION', option, message })
})

test('a second registration is refused: one takes all flows', async () => {
  app = Fastify()
  await app.register(aqueduct, { flow })
  expect(
    await rejection(Promise.resolve(app.register(aqueduct, { flows: { other: flow } }))),
  ).toMatchObject({
    code: 'AQ_INVALID_OPTION',
    message: expect.stringContaining('is registered already'),
  })
})

test("Fastify's own options of a registration are let through", async () => {
  app = Fastify()
  await app.register(aqueduct, { flow, prefix: '/v1', logLevel: 'warn' })
  expect(app.flows).toEqual({ flow })
})

const listening = (): number[] =>
  ['SIGINT', 'SIGTERM', 'SIGUSR2'].map((signal) => process.listenerCount(signal))

test('signals are left alone, unless it is asked for: then until the application is closed', async () => {
  const before = listening()
  app = Fastify()
  await app.register(aqueduct, { flow })
  expect(listening()).toEqual(before)
  await app.close()

  app = Fastify()
  await app.register(aqueduct, { flow, closeOnSignals: true })
  expect(listening()).toEqual([before[0]! + 1, before[1]! + 1, before[2]])
  await app.close()
  expect(listening()).toEqual(before)
  expect(flow.listenerCount('state')).toBe(0)

  app = Fastify()
  await app.register(aqueduct, { flow, closeOnSignals: ['SIGUSR2'] })
  expect(listening()).toEqual([before[0], before[1], before[2]! + 1])
})

/** A flow that notes with which timeout it is started. */
class Noting extends Flow<never> {
  readonly timeouts: (number | undefined)[] = []
  constructor() {
    super([SumHandler as never])
  }

  override start(options: { readonly timeout?: number } = {}): Promise<void> {
    this.timeouts.push(options.timeout)
    return Promise.resolve()
  }
}

test.each<[string | undefined, number | undefined, number]>([
  [undefined, undefined, 300_000],
  ['', undefined, 300_000],
  ['12.5', undefined, 12_500],
  ['12.5', 100, 100],
  ['0', undefined, 2 ** 31 - 1],
  ['-1', undefined, 2 ** 31 - 1],
  ['1e300', undefined, 2 ** 31 - 1],
])(
  'FLOW_START_TIMEOUT=%s and startTimeout %s: a start may take %s ms',
  async (seconds, startTimeout, timeout) => {
    vi.stubEnv('FLOW_START_TIMEOUT', seconds)
    const noting = new Noting()
    app = Fastify()
    await app.register(aqueduct, {
      flow: noting,
      ...(startTimeout !== undefined && { startTimeout }),
    })
    await app.ready()
    expect(noting.timeouts).toEqual([timeout])
    vi.unstubAllEnvs()
  },
)

test('a FLOW_START_TIMEOUT that is no number is refused', async () => {
  vi.stubEnv('FLOW_START_TIMEOUT', '5m')
  expect(await refusalOf({ flow })).toMatchObject({
    code: 'AQ_INVALID_OPTION',
    option: 'FLOW_START_TIMEOUT',
    message: "the environment's FLOW_START_TIMEOUT must be a number of seconds, not '5m'",
  })
  vi.unstubAllEnvs()
})
