import * as Sentry from '@sentry/node'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { withSentry } from '../../src/integrations/sentry.ts'
import { type Deed, LogHandler, LogTask } from '../fixtures/logging.ts'
import { Journal, describeIsolations, pidsOf, rejection, started } from '../support/flow.ts'
import { SentryReceiver } from '../support/sentry-receiver.ts'

let receiver: SentryReceiver
beforeAll(async () => {
  receiver = await SentryReceiver.listen()
  Sentry.init({
    dsn: receiver.dsn,
    // The same error twice in a row would be one event, and the tests throw it again and again.
    integrations: (defaults) => defaults.filter(({ name }) => name !== 'Dedupe'),
  })
})
afterEach(async () => {
  await Sentry.flush()
  receiver.events.length = 0
  Sentry.getIsolationScope().clearBreadcrumbs()
})
afterAll(async () => {
  await Sentry.close()
  await receiver[Symbol.asyncDispose]()
})

/** The exceptions of an event, the outermost first: what each is, and the function of the test's files that it came from. */
const exceptionsOf = ({ exception }: Sentry.ErrorEvent): unknown[] =>
  (exception?.values ?? []).toReversed().map(({ type, value, stacktrace }) => {
    const frame = stacktrace?.frames?.findLast(({ filename }) =>
      filename?.endsWith('test/fixtures/logging.ts'),
    )
    return { type, value, in: frame?.function }
  })

const modelError = [
  { type: 'ModelError', value: 'the model is broken', in: 'loadModel' },
  { type: 'TypeError', value: 'not a number', in: 'loadModel' },
]

const tagsOf = (pid: number | undefined): object => ({
  step: 'logs',
  handler: 'LogHandler',
  worker: 0,
  pid,
})

const fail = async (flow: Flow<LogTask>, deed: Deed): Promise<unknown> =>
  rejection(flow.process(new LogTask(deed), { timeout: Infinity }))

describeIsolations('withSentry', (isolation) => {
  const watched = (journal = new Journal()): Promise<Flow<LogTask>> =>
    started(
      new Flow([new FlowStep(LogHandler, { isolation, name: 'logs', retries: 0 })], {
        logger: withSentry(Sentry, journal),
      }),
    )
  test("what a handler throws is an event with the worker's stack, its causes, and step, handler, worker and pid as tags", async () => {
    await using flow = await watched()
    const [pid] = pidsOf(flow)
    await fail(flow, 'throw')
    const event = await receiver.next()
    expect(exceptionsOf(event)).toEqual(modelError)
    expect(event).toMatchObject({
      level: 'error',
      tags: tagsOf(pid),
      contexts: {
        aqueduct: { message: 'step logs failed a task: ModelError: the model is broken', tasks: 1 },
      },
    })
  })

  test('so is what a handler logs as an error', async () => {
    await using flow = await watched()
    const [pid] = pidsOf(flow)
    await flow.process(new LogTask('log an error'))
    const event = await receiver.next(
      ({ contexts }) => contexts?.['aqueduct']?.['message'] === 'no model',
    )
    expect(exceptionsOf(event)).toEqual(modelError)
    expect(event).toMatchObject({
      level: 'error',
      tags: tagsOf(pid),
      contexts: { aqueduct: { message: 'no model', attempts: 2 } },
    })
  })

  test('so is the death of a worker, with the error that ended it as the cause', async () => {
    await using flow = await watched()
    const [pid] = pidsOf(flow)
    await fail(flow, 'throw where nobody catches')
    // Sentry itself looks after the program's threads: its event of the thread's error has no tags.
    const event = await receiver.next(({ tags }) => tags !== undefined)
    expect(exceptionsOf(event)).toEqual([
      { type: 'WorkerDiedError', value: `the worker ${pid} of step logs ended with exit code 1` },
      ...modelError,
    ])
    expect(event).toMatchObject({ level: 'warning', tags: { ...tagsOf(pid), code: 1 } })
  })

  test('so is process.exit() in a handler; what was logged before is its breadcrumbs', async () => {
    await using flow = await watched()
    const [pid] = pidsOf(flow)
    await fail(flow, 'log and exit')
    const event = await receiver.next()
    expect(exceptionsOf(event)).toEqual([
      { type: 'WorkerDiedError', value: `the worker ${pid} of step logs ended with exit code 3` },
    ])
    expect(event.tags).toEqual({ ...tagsOf(pid), code: 3 })
    expect(
      event.breadcrumbs?.filter(({ category }) => category === 'aqueduct').at(-1),
    ).toMatchObject({ level: 'info', message: 'last words', data: { n: 50, ...tagsOf(pid) } })
  })

  test('the logger gets every record as without Sentry; debug records stay there', async () => {
    const journal = new Journal()
    const flow = await watched(journal)
    await flow.process(new LogTask('log at every level'))
    await fail(flow, 'throw')
    await flow.stop()
    expect(journal.entries.map(({ level }) => level)).toEqual([
      'info',
      'debug',
      'info',
      'warn',
      'error',
      'info',
      'error',
      'info',
    ])
    const event = await receiver.next()
    const trail = event.breadcrumbs?.filter(({ category }) => category === 'aqueduct')
    expect(trail?.map(({ level, message }) => [level, message])).toEqual([
      ['info', 'started'],
      ['info', 'informed'],
      ['warning', 'warned'],
      ['error', 'complained'],
      ['info', 'a message alone'],
    ])
  })
})

test('a worker process that is killed is an event', async () => {
  const logger = withSentry(Sentry, new Journal())
  await using flow = await started(new Flow([LogHandler], { logger }))
  const [pid] = pidsOf(flow)
  process.kill(pid!, 'SIGKILL')
  const event = await receiver.next()
  expect(exceptionsOf(event)).toEqual([
    { type: 'WorkerDiedError', value: `the worker ${pid} of step LogHandler ended with SIGKILL` },
  ])
  expect(event.tags).toEqual({
    step: 'LogHandler',
    handler: 'LogHandler',
    worker: 0,
    pid,
    signal: 'SIGKILL',
  })
})

test('an error that is only an information is a breadcrumb, a warning with an error is an event', async () => {
  const logger = withSentry(Sentry, new Journal())
  logger.info({ err: new Error('retried') }, 'first')
  logger.warn({ err: new Error('given up') }, 'second')
  const event = await receiver.next()
  expect(event).toMatchObject({
    level: 'warning',
    exception: { values: [{ value: 'given up' }] },
    breadcrumbs: [{ level: 'info', message: 'first' }],
  })
})

test('a flow that fails is an event of level error', async () => {
  const logger = withSentry(Sentry, new Journal())
  await using flow = await started(new Flow([LogHandler], { logger, onWorkerDeath: 'stop' }))
  process.kill(pidsOf(flow)[0]!, 'SIGKILL')
  expect(await receiver.next()).toMatchObject({ level: 'error', tags: { signal: 'SIGKILL' } })
  expect(flow.state).toBe('failed')
})
