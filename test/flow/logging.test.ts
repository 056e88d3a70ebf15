import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  Flow,
  type FlowLogger,
  type FlowOptions,
  FlowStep,
  type HandlerError,
  type WorkerDiedError,
} from '../../src/index.ts'
import { type Deed, LogHandler, LogTask, StartsOnce } from '../fixtures/logging.ts'
import { SyncHandler, WorkHandler, WorkTask, WritingHandler } from '../fixtures/work.ts'
import {
  type Isolation,
  Journal,
  describeIsolations,
  pidsOf,
  rejection,
  started,
  survivors,
} from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { Program } from '../support/flow-program.ts'

const flowOf = (
  isolation: Isolation,
  logger: FlowLogger,
  options: FlowOptions = {},
): Promise<Flow<LogTask>> =>
  started(
    new Flow([new FlowStep(LogHandler, { isolation, name: 'logs', retries: 0 })], {
      logger,
      ...options,
    }),
  )

const fail = (): never => {
  throw new Error('the disk is full')
}

const failureOf = async (flow: Flow<LogTask>, deed: Deed): Promise<unknown> =>
  rejection(flow.process(new LogTask(deed), { timeout: Infinity }))

const isTakeOver = ({ message }: { message: string }): boolean => message.includes('taken over')

const modelError = {
  name: 'ModelError',
  message: 'the model is broken',
  code: 'E_MODEL',
  model: { file: 'cat.onnx', layers: 3 },
  stack: expect.stringMatching(/at loadModel .*fixtures\/logging\.ts/),
  cause: {
    name: 'TypeError',
    message: 'not a number',
    stack: expect.stringContaining('loadModel'),
  },
}

describeIsolations('the log of a worker', (isolation) => {
  test("arrives at the flow's logger, at its level, with step, handler, worker and pid", async () => {
    const journal = new Journal()
    const flow = await flowOf(isolation, journal)
    const [pid] = pidsOf(flow)
    await flow.process(new LogTask('log at every level'))
    await flow.stop()
    const origin = { step: 'logs', handler: 'LogHandler', worker: 0, pid }
    expect(journal.entries).toEqual([
      { level: 'info', message: 'started', data: { device: 0, ...origin } },
      { level: 'debug', message: 'debugged', data: { n: 1, ...origin } },
      { level: 'info', message: 'informed', data: { n: 2, ...origin } },
      { level: 'warn', message: 'warned', data: { n: 3, ...origin } },
      { level: 'error', message: 'complained', data: { n: 4, ...origin } },
      { level: 'info', message: 'a message alone', data: origin },
      { level: 'info', message: 'stopped', data: origin },
    ])
  })

  test('an error in the data is an error, with the stack of the worker, its code, its fields and its cause', async () => {
    const journal = new Journal()
    await using flow = await flowOf(isolation, journal)
    await flow.process(new LogTask('log an error'))
    await journal.reached('error', 2)
    const [named, alone] = journal.of('error')
    expect(named).toMatchObject({ message: 'no model', data: { err: modelError, attempts: 2 } })
    expect(alone).toMatchObject({ message: 'the model is broken', data: { err: modelError } })
    const { err } = named!.data as { err: Error }
    expect(err).toBeInstanceOf(RangeError)
    expect(err.cause).toBeInstanceOf(TypeError)
  })

  test('data that cannot travel arrives reduced, and the handler does not notice', async () => {
    const journal = new Journal()
    await using flow = await flowOf(isolation, journal)
    await flow.process(new LogTask('log what cannot travel'))
    await journal.reached('warn', 1)
    expect(journal.of('warn')[0]).toMatchObject({
      message: 'odd',
      data: {
        call: '[function]',
        unreadable: { getter: '[unreadable]' },
        circular: { list: [1, 2], self: '[circular]' },
        bytes: '[Uint8Array of 1000000 bytes]',
        long: expect.stringMatching(/^x{8192}\[…\]$/),
        map: new Map([['k', 'Symbol(v)']]),
      },
    })
  })

  test('is limited: what is suppressed is counted and told, and chatter leaves room for trouble', async () => {
    const journal = new Journal()
    await using flow = await flowOf(isolation, journal)
    const begin = performance.now()
    await flow.process(new LogTask('log 3,000 times'))
    const seconds = (performance.now() - begin) / 1_000
    await journal.reached('warn', 1)
    const { suppressed } = journal.of('warn')[0]!.data as { suppressed: number }
    const records = journal.count('debug') + journal.count('error')
    expect(records + suppressed).toBe(3_001)
    expect(journal.count('debug')).toBeGreaterThan(100)
    expect(journal.count('debug')).toBeLessThanOrEqual(1_000 + 100 * seconds)
    expect(journal.of('warn')[0]!.message).toContain(`${suppressed} records of worker 0`)
    expect(journal.of('error')).toMatchObject([{ message: 'trouble' }])
  })

  test('has all that was said before process.exit(), ahead of the death', async () => {
    const journal = new Journal()
    await using flow = await flowOf(isolation, journal)
    expect(await failureOf(flow, 'log and exit')).toMatchObject({ code: 'AQ_WORKER_DIED' })
    const words = journal.entries.filter(({ message }) => message === 'last words')
    expect(words.map(({ data }) => (data as { n: number }).n)).toEqual(
      Array.from({ length: 50 }, (_, index) => index + 1),
    )
    expect(journal.entries.at(51)).toMatchObject({ level: 'warn', data: { code: 3 } })
  })

  test('a logger that throws stops neither the workers nor their supervision', async () => {
    const logger = { debug: fail, info: fail, warn: fail, error: fail }
    await using flow = await flowOf(isolation, logger)
    await failureOf(flow, 'log and exit')
    await failureOf(flow, 'throw')
    await flow.process(new LogTask('log an error'))
    expect(flow.stats().workers).toMatchObject([{ state: 'running', restarts: 1 }])
  })
})

describe('the log of a worker process', () => {
  test('has all that was said before SIGKILL, ahead of the death', async () => {
    const journal = new Journal()
    await using flow = await flowOf('process', journal)
    await failureOf(flow, 'log and be killed')
    expect(journal.entries.filter(({ message }) => message === 'last words')).toHaveLength(50)
    expect(journal.entries.at(51)).toMatchObject({ level: 'warn', data: { signal: 'SIGKILL' } })
  })

  test('is read before its death, however late the parent comes to it', async () => {
    const journal = new Journal()
    await using flow = await flowOf('process', journal)
    for (let death = 1; death <= 3; death++) {
      const pids = pidsOf(flow)
      const outcome = failureOf(flow, 'throw where nobody catches')
      const end = performance.now() + 30_000
      while (survivors(pids).length > 0 && performance.now() < end); // the event loop stands still
      expect(await outcome).toMatchObject({ code: 'AQ_WORKER_DIED', cause: modelError })
      await journal.has((entries) => entries.filter(isTakeOver).length === death)
    }
  })

  test("a handler's own messages to the parent mean nothing", async () => {
    const journal = new Journal()
    await using flow = await flowOf('process', journal)
    const error = await failureOf(flow, 'exit with a message of its own')
    expect(error).toMatchObject({ code: 'AQ_WORKER_DIED', exitCode: 3 })
  })
})

describeIsolations('what a handler throws', (isolation) => {
  test('is logged once, and tells the caller which worker it was', async () => {
    const journal = new Journal()
    await using flow = await flowOf(isolation, journal)
    const [pid] = pidsOf(flow)
    const origin = { step: 'logs', handler: 'LogHandler', worker: 0, pid }
    const error = (await failureOf(flow, 'throw')) as HandlerError
    expect(error).toMatchObject({ name: 'HandlerError', ...origin, cause: { code: 'E_MODEL' } })
    await journal.reached('error', 1)
    expect(journal.of('error')).toMatchObject([
      {
        message: 'step logs failed a task: ModelError: the model is broken',
        data: { err: modelError, tasks: 1, ...origin },
      },
    ])
  })

  test('reaches the caller with its cause and its fields, but for those that cannot travel', async () => {
    await using flow = await flowOf(isolation, new Journal())
    const { cause } = (await failureOf(flow, 'throw')) as HandlerError
    expect(cause).toMatchObject({ ...modelError, reload: '[function]' })
  })

  test('is logged when its caller has gone', async () => {
    await using gate = await Gate.close()
    const journal = new Journal()
    await using flow = await flowOf(isolation, journal)
    const caller = new AbortController()
    const task = new LogTask('throw at the gate', gate.name)
    const gone = rejection(flow.process(task, { signal: caller.signal }))
    await gate.visited()
    caller.abort()
    expect(await gone).toMatchObject({ code: 'AQ_CANCELLED' })
    expect(journal.count('error')).toBe(0)
    gate.open()
    await journal.reached('error', 1)
    expect(journal.of('error')[0]).toMatchObject({ data: { err: modelError } })
  })

  test.each([
    ['the culprit of a batch', WorkHandler, 1],
    ['the culprit of a batch (without promises)', SyncHandler, 1],
    ['a batch that must not be split', WritingHandler, 4],
  ])('%s is one record', async (_, handler, tasks) => {
    const journal = new Journal()
    const step = new FlowStep(handler, { isolation, batchSize: 4, batchTimeout: Infinity })
    const flow = await started(new Flow([step], { logger: journal }))
    const batch = [0, 1, 2, 3].map((id) => new WorkTask(id, id === 2 ? { throws: 'bad' } : {}))
    await Promise.allSettled(batch.map((task) => flow.process(task)))
    await flow.stop()
    expect(journal.entries).toMatchObject([
      { level: 'error', data: { err: { name: 'RangeError', message: 'bad' }, tasks } },
    ])
  })

  test('a result that cannot travel is logged like an error', async () => {
    const journal = new Journal()
    await using flow = await flowOf(isolation, journal)
    const error = await failureOf(flow, 'return what cannot travel')
    expect(error).toMatchObject({ code: 'AQ_UNSERIALIZABLE', path: 'task.result' })
    await journal.reached('error', 1)
    expect(journal.of('error')[0]).toMatchObject({ data: { err: { code: 'AQ_UNSERIALIZABLE' } } })
  })

  test('a flood of bad tasks is not a flood of records', async () => {
    const journal = new Journal()
    const flow = await started(
      new Flow([new FlowStep(SyncHandler, { isolation })], { logger: journal }),
    )
    const begin = performance.now()
    const bad = Array.from({ length: 1_000 }, (_, id) => new WorkTask(id, { throws: 'bad' }))
    await Promise.allSettled(bad.map((task) => flow.process(task)))
    await flow.stop()
    const seconds = (performance.now() - begin) / 1_000
    const suppressed = journal
      .of('warn')
      .map(({ data }) => (data as { suppressed: number }).suppressed)
    const total = journal.count('error') + suppressed.reduce((sum, count) => sum + count, 0)
    expect(total).toBe(1_000)
    expect(journal.count('error')).toBeGreaterThanOrEqual(100)
    expect(journal.count('error')).toBeLessThanOrEqual(100 + 10 * seconds)
  })
})

describeIsolations('the death of a worker', (isolation) => {
  test.each<[Deed]>([['throw where nobody catches'], ['reject where nobody catches']])(
    'has the error that nobody caught as its cause (%s)',
    async (deed) => {
      const journal = new Journal()
      await using flow = await flowOf(isolation, journal)
      const [pid] = pidsOf(flow)
      const error = (await failureOf(flow, deed)) as WorkerDiedError
      expect(error).toMatchObject({ name: 'WorkerDiedError', pid, exitCode: 1, cause: modelError })
      expect(journal.of('warn')).toMatchObject([
        {
          message: `worker ${pid} of step logs ended with exit code 1; it is being replaced`,
          data: {
            err: { name: 'WorkerDiedError', cause: modelError },
            step: 'logs',
            handler: 'LogHandler',
            worker: 0,
            pid,
            code: 1,
          },
        },
      ])
      await journal.has((entries) => entries.some(isTakeOver))
      expect(journal.of('info').at(-1)).toMatchObject({
        data: { step: 'logs', handler: 'LogHandler', worker: 0, pid: pidsOf(flow)[0] },
      })
    },
  )

  test('an error that a listener of the handler has caught is not its cause', async () => {
    await using flow = await flowOf(isolation, new Journal())
    const error = (await failureOf(flow, 'throw where a listener catches')) as WorkerDiedError
    expect(error).toMatchObject({ name: 'WorkerDiedError', exitCode: 4 })
    expect(error.cause).toBeUndefined()
  })

  test('again and again fails the flow: the record says which worker it was, and why', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aqueduct-'))
    try {
      const journal = new Journal()
      const step = new FlowStep(StartsOnce, { isolation, args: [join(folder, 'started')] })
      await using flow = await started(new Flow([step], { logger: journal }))
      await failureOf(flow, 'log at every level')
      await journal.reached('error', 1)
      expect(flow.state).toBe('failed')
      expect(journal.of('error')).toMatchObject([
        {
          message: expect.stringContaining('step StartsOnce cannot be kept alive'),
          data: {
            err: { name: 'StartError', cause: { name: 'StartError', cause: modelError } },
            step: 'StartsOnce',
            handler: 'StartsOnce',
            worker: 0,
          },
        },
      ])
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

describeIsolations("onWorkerDeath: 'stop'", (isolation) => {
  test('the death of a worker fails the flow: all that is pending fails at once, and it is logged', async () => {
    await using gate = await Gate.close()
    const journal = new Journal()
    const steps = [
      new FlowStep(LogHandler, { isolation, name: 'logs', retries: 0 }),
      new FlowStep(LogHandler, { isolation, name: 'others' }),
    ]
    const flow = await started(new Flow(steps, { logger: journal, onWorkerDeath: 'stop' }))
    const [pid] = pidsOf(flow)
    const states: string[] = []
    flow.on('state', (state) => states.push(state))
    const options = { timeout: Infinity }
    const dying = rejection(flow.process(new LogTask('log and exit'), options))
    const waiting = Array.from({ length: 50 }, () =>
      rejection(flow.process(new LogTask('throw at the gate', gate.name), options)),
    )
    expect(await dying).toMatchObject({ code: 'AQ_WORKER_DIED', pid, exitCode: 3 })
    for (const error of await Promise.all(waiting))
      expect(error).toMatchObject({
        name: 'FlowStoppedError',
        code: 'AQ_STOPPED',
        cause: { code: 'AQ_WORKER_DIED', pid },
      })
    expect(flow.state).toBe('failed')
    expect(journal.of('warn')).toEqual([])
    expect(journal.of('error')).toMatchObject([
      {
        message: `worker ${pid} of step logs ended with exit code 3; the flow has failed`,
        data: { step: 'logs', handler: 'LogHandler', worker: 0, pid, code: 3 },
      },
    ])
    await expect(flow.process(new LogTask('throw'))).rejects.toMatchObject({ state: 'failed' })
    await flow.stop()
    expect(states).toEqual(['failed', 'stopping', 'stopped'])
    expect(flow.stats().tasks).toMatchObject({ admitted: 51, failed: 51, pending: 0 })
    expect(flow.stats().workers).toMatchObject([
      { state: 'dead', restarts: 0 },
      { state: 'dead', restarts: 0 },
    ])
  })
})

describeIsolations('a program without a logger', (isolation) => {
  test('gets what workers print on its own output, labelled, and what handlers throw on standard error', async () => {
    await using program = new Program('printing.ts', isolation)
    const lines = [await program.line(), await program.line(), await program.line()].toSorted()
    expect(await program.ended()).toMatchObject({ code: 0 })
    const { pid } = JSON.parse(lines.pop()!) as { pid: number }
    const label = `[PrintHandler#0 ${pid}]`
    expect(lines).toEqual([`${label} and more`, `${label} to standard output`])
    expect(program.errors).toContain(`${label} to standard error\n`)
    expect(program.errors).toMatch(
      /\[aqueduct\] step PrintHandler failed a task: ModelError: .*\n.*\n +at loadModel .*logging\.ts/,
    )
    expect(program.errors).toContain('[cause]: TypeError: not a number')
  })
})

test('a logger without one of the four methods is refused', () => {
  const logger = { info: console.info, warn: console.warn, error: console.error }
  expect(() => new Flow([LogHandler], { logger: logger as unknown as FlowLogger })).toThrow(
    "'logger' must be an object with the methods debug, info, warn and error",
  )
})
