import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import {
  Counted,
  DeafStart,
  ExitingStart,
  Leaving,
  LifeTask,
  SlowStart,
  ThrowingConstructor,
  ThrowingStart,
} from '../fixtures/life.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import {
  describeIsolations,
  living,
  pidsOf,
  rejection,
  started,
  survivors,
} from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

describeIsolations('the life of a flow', (isolation) => {
  const work = (options = {}): Flow<WorkTask> =>
    new Flow([new FlowStep(WorkHandler, { isolation, ...options })])

  test('a handler is made in its workers, never in the program that starts the flow', async () => {
    await using flow = await started(new Flow([new FlowStep(Counted, { isolation, nprocs: 2 })]))
    expect((await flow.process(new LifeTask())).made).toBe(1)
    expect(Counted.made).toBe(0)
  })

  test('a flow is created, starting, running, stopping and stopped', async () => {
    const flow = work()
    expect(flow.state).toBe('created')
    const starting = flow.start()
    expect(flow.state).toBe('starting')
    await starting
    expect(flow.state).toBe('running')
    expect(flow.isRunning).toBe(true)
    const stopping = flow.stop()
    expect(flow.state).toBe('stopping')
    expect(flow.isRunning).toBe(false)
    await stopping
    expect(flow.state).toBe('stopped')
  })

  test('every worker is ready when start() resolves, and gone when stop() resolves', async () => {
    const flow = await started(work({ nprocs: 2 }))
    expect(flow.stats().workers).toMatchObject([
      { step: 'WorkHandler', index: 0, state: 'running', restarts: 0 },
      { step: 'WorkHandler', index: 1, state: 'running', restarts: 0 },
    ])
    const pids = pidsOf(flow)
    await flow.stop()
    expect(living(flow)).toBe(0)
    expect(survivors(pids)).toEqual([])
  })

  test('a second start() is refused, while the first goes on', async () => {
    const flow = work()
    const first = flow.start()
    await expect(flow.start()).rejects.toMatchObject({ code: 'AQ_START_FAILED' })
    await first
    await expect(flow.start()).rejects.toThrow('the flow is running')
    await expect(flow.process(new WorkTask(1))).resolves.toMatchObject({ batch: [1] })
    await flow.stop()
  })

  test('a second stop() resolves with the first', async () => {
    const flow = await started(work())
    await Promise.all([flow.stop(), flow.stop({ graceful: false })])
    await flow.stop()
    expect(flow.state).toBe('stopped')
  })

  test('a flow that was never started can be stopped, and started afterwards', async () => {
    const flow = work()
    await flow.stop()
    expect(flow.state).toBe('stopped')
    await flow.start()
    await expect(flow.process(new WorkTask(1))).resolves.toMatchObject({ batch: [1] })
    await flow.stop()
  })

  test('a stopped flow starts again with fresh workers and works', async () => {
    const flow = work()
    const calls: (number | undefined)[] = []
    for (let round = 0; round < 3; round++) {
      await flow.start()
      const { call } = await flow.process(new WorkTask(round))
      calls.push(call)
      await flow.stop()
    }
    expect(calls).toEqual([1, 1, 1])
  })

  test('process() before start(), during start(), during stop() and after it is refused', async () => {
    const flow = work()
    const refusedAs = async (state: string): Promise<void> =>
      expect(flow.process(new WorkTask(0))).rejects.toMatchObject({
        name: 'NotRunningError',
        code: 'AQ_NOT_RUNNING',
        state,
      })
    await refusedAs('created')
    const starting = flow.start()
    await refusedAs('starting')
    await starting
    const stopping = flow.stop()
    await refusedAs('stopping')
    await stopping
    await refusedAs('stopped')
  })

  test('a task that was refused can be given again', async () => {
    const flow = work()
    const task = new WorkTask(5)
    await rejection(flow.process(task))
    await flow.start()
    await expect(flow.process(task)).resolves.toBe(task)
    await flow.stop()
  })

  test('an onStart that never ends fails the start at its timeout and leaves no worker', async () => {
    await using gate = await Gate.close()
    const flow = new Flow([
      new FlowStep(SlowStart, { isolation, args: [gate.name] }),
      new FlowStep(DeafStart, { isolation, nprocs: 2, args: [''] }),
    ])
    const starting = rejection(flow.start({ timeout: 1_500 }))
    const pids = pidsOf(flow)
    expect(await starting).toMatchObject({
      name: 'StartError',
      code: 'AQ_START_TIMEOUT',
      message: expect.stringContaining('SlowStart, DeafStart'),
    })
    expect(flow.state).toBe('stopped')
    expect(living(flow)).toBe(0)
    expect(survivors(pids)).toEqual([])
  })

  test('a start that timed out can be tried again', async () => {
    await using gate = await Gate.close()
    const flow = new Flow([new FlowStep(SlowStart, { isolation, args: [gate.name] })])
    await expect(flow.start({ timeout: 1 })).rejects.toMatchObject({ code: 'AQ_START_TIMEOUT' })
    gate.open()
    await flow.start()
    await expect(flow.process(new LifeTask())).resolves.toMatchObject({ handledBy: 'SlowStart' })
    await flow.stop()
  })

  test.each([
    [ThrowingStart, 'there is no such model', '#loadModel'],
    [ThrowingConstructor, 'cannot be made', 'new ThrowingConstructor'],
  ])(
    '%o: what the worker threw is the cause of the StartError, with its stack',
    async (handler, message, frame) => {
      const flow = new Flow<LifeTask>([
        new FlowStep(handler, { isolation, nprocs: 2 }),
        new FlowStep(SlowStart, { isolation, args: ['a gate that nobody keeps'] }),
      ])
      const starting = rejection(flow.start())
      const pids = pidsOf(flow)
      expect(await starting).toMatchObject({
        name: 'StartError',
        code: 'AQ_START_FAILED',
        message: `step ${handler.name} could not start: ${message}`,
        cause: { name: 'TypeError', message, stack: expect.stringContaining(frame) },
      })
      expect(flow.state).toBe('stopped')
      expect(living(flow)).toBe(0)
      expect(survivors(pids)).toEqual([])
    },
  )

  test('a worker that ends before it is ready fails the start and says how it ended', async () => {
    const flow = new Flow([new FlowStep(ExitingStart, { isolation })])
    await expect(flow.start()).rejects.toMatchObject({
      code: 'AQ_START_FAILED',
      message: expect.stringContaining('step ExitingStart ended with exit code 7'),
    })
    expect(living(flow)).toBe(0)
  })

  test('a flow is stopped at the end of its scope', async () => {
    let outer: Flow<WorkTask>
    let pending: Promise<WorkTask>
    {
      await using flow = await started(work())
      outer = flow
      pending = flow.process(new WorkTask(1))
    }
    expect(outer.state).toBe('stopped')
    await expect(pending).resolves.toMatchObject({ batch: [1] })
  })

  test('a graceful stop finishes what is admitted', async () => {
    await using gate = await Gate.close()
    const flow = await started(work({ batchSize: 3 }))
    const results = Array.from({ length: 100 }, (_, id) =>
      flow.process(new WorkTask(id, id === 0 ? { gate: gate.name } : {})),
    )
    await gate.visited()
    const stopping = flow.stop()
    gate.open()
    await stopping
    expect((await Promise.all(results)).map(({ id }) => id)).toEqual(
      Array.from({ length: 100 }, (_, id) => id),
    )
    expect(flow.stats().tasks).toMatchObject({ admitted: 100, completed: 100, pending: 0 })
  })

  test('a graceful stop lets the workers clean up', async () => {
    await using gate = await Gate.close()
    const flow = await started(new Flow([new FlowStep(Leaving, { isolation, args: [gate.name] })]))
    const stopping = flow.stop()
    await gate.visited(2) // the signal, and onStop
    expect(flow.state).toBe('stopping')
    gate.open()
    await stopping
  })

  test('a stop that is not graceful fails what is pending at once', async () => {
    await using gate = await Gate.close()
    const flow = await started(work({ queueSize: 2 }))
    const running = rejection(flow.process(new WorkTask(0, { gate: gate.name })))
    const queued = Array.from({ length: 9 }, (_, id) => rejection(flow.process(new WorkTask(id))))
    await gate.visited()
    await flow.stop({ graceful: false })
    for (const error of await Promise.all([running, ...queued]))
      expect(error).toMatchObject({ name: 'FlowStoppedError', code: 'AQ_STOPPED' })
    expect(flow.stats().tasks).toMatchObject({ admitted: 10, failed: 10, pending: 0 })
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('a worker that ignores the stop is ended at its timeout, and its task fails', async () => {
    await using gate = await Gate.close()
    const flow = await started(work())
    const pids = pidsOf(flow)
    const running = rejection(flow.process(new WorkTask(0, { gate: gate.name, deaf: true })))
    await gate.visited()
    gate.open()
    const begin = performance.now()
    await flow.stop({ timeout: 300 })
    expect(performance.now() - begin).toBeGreaterThanOrEqual(299)
    expect(await running).toMatchObject({ code: 'AQ_STOPPED' })
    expect(living(flow)).toBe(0)
    expect(survivors(pids)).toEqual([])
  })

  test('a flow that is stopped while it starts never runs, and leaves no worker', async () => {
    await using gate = await Gate.close()
    const flow = new Flow([new FlowStep(SlowStart, { isolation, args: [gate.name] })])
    const starting = rejection(flow.start())
    const pids = pidsOf(flow)
    await gate.visited()
    await flow.stop()
    expect(await starting).toMatchObject({ name: 'StartError', code: 'AQ_START_FAILED' })
    expect(flow.state).toBe('stopped')
    expect(living(flow)).toBe(0)
    expect(survivors(pids)).toEqual([])
  })
})
