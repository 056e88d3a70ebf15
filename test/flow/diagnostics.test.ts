import { Channel, tracingChannel } from 'node:diagnostics_channel'
import { expect, test, vi } from 'vitest'
import { Flow, FlowClient, FlowStep } from '../../src/index.ts'
import { DeathTask, Invert } from '../fixtures/deaths.ts'
import { GenerationHandler } from '../fixtures/generations.ts'
import { EchoHandler, ValueTask } from '../fixtures/values.ts'
import { WatchedHandler, WatchedTask } from '../fixtures/watched.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { Listener, listenToTraces } from '../support/channels.ts'
import { newAddress } from '../support/clients.ts'
import { Journal, describeIsolations, pidsOf, rejection, started, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

const MiB = 2 ** 20
const WORKER = [
  'aqueduct:worker:start',
  'aqueduct:worker:ready',
  'aqueduct:worker:exit',
  'aqueduct:worker:restart',
] as const

/** What the watched handler notes of an event. */
const told = (ids: readonly number[], event: string, error?: string): object => ({
  event,
  step: 'WatchedHandler',
  handler: 'WatchedHandler',
  worker: 0,
  ids,
  error: String(error),
})

const handled = (...ids: number[]): object[] =>
  ['start', 'end', 'asyncStart', 'asyncEnd'].map((event) => told(ids, event))

const failed = (error: string, ...ids: number[]): object[] => [
  ...['start', 'end'].map((event) => told(ids, event)),
  ...['error', 'asyncStart', 'asyncEnd'].map((event) => told(ids, event, error)),
]

describeIsolations('diagnostics_channel', (isolation) => {
  test('the states of a flow', async () => {
    const flow = new Flow([new FlowStep(WorkHandler, { isolation })])
    using listener = new Listener(['aqueduct:flow:state'], flow)
    await flow.start()
    await flow.stop()
    expect(listener.of('aqueduct:flow:state')).toEqual([
      { state: 'starting', previous: 'created' },
      { state: 'running', previous: 'starting' },
      { state: 'stopping', previous: 'running' },
      { state: 'stopped', previous: 'stopping' },
    ])
  })

  test('the start of workers, and their end when they are asked to', async () => {
    const flow = new Flow([new FlowStep(WorkHandler, { isolation, nprocs: 2, name: 'work' })])
    using listener = new Listener(WORKER, flow)
    await flow.start()
    const pids = pidsOf(flow)
    const workers = pids.map((pid, worker) => ({
      step: 'work',
      handler: 'WorkHandler',
      worker,
      pid,
    }))
    expect(listener.of('aqueduct:worker:start')).toEqual(workers)
    expect(listener.of('aqueduct:worker:ready')).toEqual(expect.arrayContaining(workers))
    expect(listener.of('aqueduct:worker:exit')).toEqual([])
    await flow.stop()
    const exit = { code: 0, signal: undefined, error: undefined, isExpected: true }
    const exits = workers.map((worker) => ({ ...worker, ...exit }))
    expect(listener.of('aqueduct:worker:exit')).toEqual(expect.arrayContaining(exits))
    expect(listener.all).toHaveLength(6)
  })

  test('the death of a worker, and its replacement', async () => {
    const journal = new Journal()
    await using flow = new Flow([new FlowStep(Invert, { isolation, retries: 0 })], {
      logger: journal,
    })
    using listener = new Listener(WORKER, flow)
    await flow.start()
    const [pid] = pidsOf(flow)
    const task = new DeathTask(1, 10)
    task.exitAt = 'Invert'
    await rejection(flow.process(task))
    await journal.reached('info', 1)
    expect(listener.all.map(([name]) => name)).toEqual([
      'aqueduct:worker:start',
      'aqueduct:worker:ready',
      'aqueduct:worker:exit',
      'aqueduct:worker:restart',
      'aqueduct:worker:start',
      'aqueduct:worker:ready',
    ])
    expect(listener.of('aqueduct:worker:exit')).toMatchObject([{ pid, code: 9, isExpected: false }])
    expect(listener.of('aqueduct:worker:restart')).toMatchObject([{ pid, step: 'Invert' }])
    expect(listener.of('aqueduct:worker:ready')[1]).toMatchObject({ pid: pidsOf(flow)[0] })
  })

  test('a reload, and the end of those that it replaces', async () => {
    using reloads = listenToTraces('aqueduct:reload')
    const flow = new Flow([new FlowStep(GenerationHandler, { isolation, args: ['first'] })])
    using listener = new Listener(WORKER, flow)
    await flow.start()
    const [former] = pidsOf(flow)
    await flow.reload('GenerationHandler', { args: ['second'] })
    expect(reloads.events.map(([event]) => event)).toEqual([
      'start',
      'end',
      'asyncStart',
      'asyncEnd',
    ])
    expect(reloads.events[0]![1]).toMatchObject({ flow, step: 'GenerationHandler' })
    expect(listener.of('aqueduct:worker:exit')).toMatchObject([{ pid: former, isExpected: true }])
    expect(listener.of('aqueduct:worker:restart')).toEqual([])
    const failing = { args: ['third', { failing: 0, ends: 'throws' }] }
    const error = await rejection(flow.reload('GenerationHandler', failing))
    expect(reloads.events.slice(4).map(([event]) => event)).toContain('error')
    expect(reloads.events.at(-1)![1]['error']).toBe(error)
    await flow.stop()
  })

  test('clients that attach and go, and the states of a client', async () => {
    const address = newAddress()
    const flow = await started(new Flow([new FlowStep(WorkHandler, { isolation })], { address }))
    using listener = new Listener(['aqueduct:client:attach', 'aqueduct:client:detach'], flow)
    const client = new FlowClient({ address, task: WorkTask })
    using states = new Listener(['aqueduct:flow:state'], client)
    await client.start()
    expect(listener.all).toEqual([['aqueduct:client:attach', { client: 1, pid: process.pid }]])
    await client.stop()
    await until(() => listener.all.length === 2, 'the client has gone')
    expect(listener.of('aqueduct:client:detach')).toEqual([{ client: 1, pid: process.pid }])
    expect(states.all.map(([, { state }]) => state)).toEqual([
      'starting',
      'running',
      'stopping',
      'stopped',
    ])
    await flow.stop()
  })

  test('tasks that are refused', async () => {
    await using gate = await Gate.close()
    const flow = await started(
      new Flow([new FlowStep(WorkHandler, { isolation })], { maxPending: 1 }),
    )
    using listener = new Listener(['aqueduct:task:refuse'], flow)
    const held = flow.process(new WorkTask(1, { gate: gate.name }))
    const refused = new WorkTask(2)
    const error = await rejection(flow.process(refused))
    expect(error).toMatchObject({ code: 'AQ_QUEUE_FULL' })
    gate.open()
    await held
    const failing = await rejection(flow.process(new WorkTask(3, { throws: 'not refused' })))
    expect(failing).toMatchObject({ code: 'AQ_HANDLER_FAILED' })
    await flow.stop()
    const late = new WorkTask(4)
    const notRunning = await rejection(flow.process(late))
    const all = listener.of('aqueduct:task:refuse')
    expect(all).toHaveLength(2)
    expect(all[0]).toEqual({ task: refused, error })
    expect(all[1]).toEqual({ task: late, error: notRunning })
  })

  test('that tasks begin to wait for shared memory, and that they cease to', async () => {
    const flow = await started(
      new Flow([new FlowStep(EchoHandler, { isolation })], { memory: MiB }),
    )
    using listener = new Listener(['aqueduct:memory:pressure'], flow)
    const half = (): ValueTask => new ValueTask(new Uint8Array(MiB / 2))
    const held = await flow.process(half())
    expect(listener.all).toEqual([])
    const waiting = [flow.process(half()), flow.process(half())]
    expect(listener.of('aqueduct:memory:pressure')).toEqual([{ isWaiting: true }])
    held.release()
    const second = await Promise.race(waiting)
    second.release()
    await Promise.all(waiting)
    expect(listener.of('aqueduct:memory:pressure').at(-1)).toEqual({ isWaiting: false })
    await flow.stop()
  })

  test('each call of process(), as a trace that carries what a subscriber binds to it', async () => {
    using traces = listenToTraces('aqueduct:process')
    await using flow = await started(new Flow([new FlowStep(WorkHandler, { isolation })]))
    const task = new WorkTask(1)
    const options = { timeout: 10_000 }
    await flow.process(task, options)
    expect(traces.events.map(([event]) => event)).toEqual([
      'start',
      'end',
      'asyncStart',
      'asyncEnd',
    ])
    const [[, trace]] = traces.events as [[string, Record<string, unknown>]]
    expect(new Set(traces.events.map(([, it]) => it)).size).toBe(1)
    expect(trace).toMatchObject({ flow, options })
    expect(trace['task']).toBe(task)

    traces.events.length = 0
    const error = await rejection(flow.process(new WorkTask(2, { throws: 'no' })))
    expect(traces.events.map(([event]) => event)).toEqual([
      'start',
      'end',
      'error',
      'asyncStart',
      'asyncEnd',
    ])
    expect(traces.events[0]![1]['error']).toBe(error)
  })

  test('each batch, in the worker that handles it', async () => {
    const step = new FlowStep(WatchedHandler, { isolation, batchSize: 2, batchTimeout: 5_000 })
    await using flow = await started(new Flow([step]))
    const batch = (...tasks: readonly WatchedTask[]): Promise<unknown> =>
      Promise.allSettled(tasks.map((task) => flow.process(task)))
    await batch(new WatchedTask(1), new WatchedTask(2))
    await batch(new WatchedTask(3, 'async'), new WatchedTask(4))
    await batch(new WatchedTask(5, 'throw'), new WatchedTask(6))
    await batch(new WatchedTask(7, 'reject'), new WatchedTask(8))
    const last = new WatchedTask(9, 'tell')
    await batch(last, new WatchedTask(10))

    expect(last.published).toEqual([
      ...handled(1, 2),
      ...handled(3, 4),
      ...failed('RangeError: thrown', 5, 6),
      ...failed('RangeError: thrown', 5), // the batch is halved until the culprit stands alone
      ...handled(6),
      ...failed('RangeError: rejected', 7, 8),
      ...failed('RangeError: rejected', 7),
      ...handled(8),
      ...handled(9, 10), // before the tasks are handed over
    ])
  })
})

test('while nobody listens, a task is neither told of nor traced', async () => {
  // Given channels that had a listener once.
  listenToTraces('aqueduct:process')[Symbol.dispose]()
  new Listener(['aqueduct:task:refuse'])[Symbol.dispose]()
  const flow = new Flow([WorkHandler])
  using publish = vi.spyOn(Channel.prototype, 'publish')
  using trace = vi.spyOn(tracingChannel('aqueduct:process').constructor.prototype, 'tracePromise')
  await rejection(flow.process(new WorkTask(1)))
  expect(publish).not.toHaveBeenCalled()
  expect(trace).not.toHaveBeenCalled()
})
