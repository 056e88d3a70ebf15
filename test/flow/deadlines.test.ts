import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { Flow, type FlowOptions, FlowStep } from '../../src/index.ts'
import { processTask } from '../../src/process-task.ts'
import { First, PickyTask } from '../fixtures/conditions.ts'
import { KeepingHandler, SyncHandler, WorkHandler, WorkTask } from '../fixtures/work.ts'
import { describeIsolations, rejection, started, turn, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { SmallFlow } from '../support/small-flow.ts'

test('without a timeout of its own a task has 5 seconds', async () => {
  const flow = new SmallFlow()
  flow.setTime(10)
  const classes = new Map([[WorkTask, 0]])
  const task = new WorkTask(0)
  flow.outcomes.set(task, {
    timesSettled: 0,
    finished: undefined,
    timings: undefined,
    error: undefined,
  })
  const late = rejection(processTask(flow, flow.client, 'running', classes, task, {}))
  flow.setTime(5_009)
  flow.client.tick()
  expect(flow.client.pending).toBe(1)
  flow.setTime(5_010)
  flow.client.tick()
  expect(await late).toMatchObject({ code: 'AQ_TIMEOUT', timeout: 5_000 })
  flow.close()
})

/** A task with a payload in shared memory. */
class HeavyTask extends WorkTask {
  static readonly bytes = 100_000
}

describeIsolations('deadlines and cancellation', (isolation) => {
  const working = (options: FlowOptions = {}, step = {}): Promise<Flow<WorkTask>> =>
    started(new Flow([new FlowStep(WorkHandler, { isolation, ...step })], options))

  test('a task that times out in the queue is never started', async () => {
    await using gate = await Gate.close()
    await using flow = await working()
    const busy = flow.process(new WorkTask(0, { gate: gate.name }))
    await gate.visited()
    const begin = performance.now()
    const late = new WorkTask(1)
    expect(await rejection(flow.process(late, { timeout: 50 }))).toMatchObject({
      name: 'TaskTimeoutError',
      code: 'AQ_TIMEOUT',
      timeout: 50,
    })
    expect(performance.now() - begin).toBeGreaterThanOrEqual(49)
    gate.open()
    expect((await busy).call).toBe(1)
    expect((await flow.process(new WorkTask(2))).call).toBe(2)
    expect(late.call).toBeUndefined()
    expect(flow.stats().tasks).toMatchObject({ admitted: 3, completed: 2, timedOut: 1, pending: 0 })
  })

  test('a task that times out while it runs: the caller is told at its deadline, the slot comes back later', async () => {
    await using gate = await Gate.close()
    await using flow = await working({ maxPending: 1 })
    const begin = performance.now()
    const late = new WorkTask(0, { gate: gate.name })
    const error = await rejection(flow.process(late, { timeout: 1_000 }))
    expect(performance.now() - begin).toBeGreaterThanOrEqual(999)
    expect(error).toMatchObject({ code: 'AQ_TIMEOUT' })
    expect(flow.stats().tasks.pending).toBe(0)
    await gate.visited()
    let isDone = false
    const next = flow.process(new WorkTask(1)).finally(() => {
      isDone = true
    })
    for (let turns = 0; turns < 20; turns++) await turn()
    expect(isDone).toBe(false) // the only slot is still the handler's
    gate.open()
    await expect(next).resolves.toMatchObject({ call: 2 })
    expect(late.batch).toBeUndefined()
  })

  test('a task can be given again once it has timed out', async () => {
    await using gate = await Gate.close()
    await using flow = await working()
    const busy = flow.process(new WorkTask(0, { gate: gate.name }))
    await gate.visited()
    const task = new WorkTask(1)
    await rejection(flow.process(task, { timeout: 20 }))
    const again = flow.process(task)
    gate.open()
    await expect(again).resolves.toMatchObject({ call: 2 })
    await busy
  })

  test('a handler that blocks its event loop cannot keep a caller waiting', async () => {
    await using gate = await Gate.close()
    await using flow = await working()
    const deaf = rejection(
      flow.process(new WorkTask(0, { gate: gate.name, deaf: true }), { timeout: 1_500 }),
    )
    await gate.visited()
    const queued = rejection(flow.process(new WorkTask(1), { timeout: 200 }))
    gate.open()
    expect(await deaf).toMatchObject({ code: 'AQ_TIMEOUT' })
    expect(await queued).toMatchObject({ code: 'AQ_TIMEOUT' })
    await flow.stop({ graceful: false })
  })

  test('a timeout of 0 fails a task that has to wait, and Infinity never does', async () => {
    await using flow = await working()
    expect(await rejection(flow.process(new WorkTask(0), { timeout: 0 }))).toMatchObject({
      code: 'AQ_TIMEOUT',
      timeout: 0,
    })
    await expect(flow.process(new WorkTask(1), { timeout: Infinity })).resolves.toMatchObject({
      batch: [1],
    })
  })

  test('a task that times out between two steps never enters the second', async () => {
    await using gate = await Gate.close()
    await using flow = await started(
      new Flow([
        new FlowStep(SyncHandler, { isolation }),
        new FlowStep(WorkHandler, { isolation }),
      ]),
    )
    const busy = flow.process(new WorkTask(0, { gate: gate.name }))
    await gate.visited()
    expect(await rejection(flow.process(new WorkTask(1), { timeout: 50 }))).toMatchObject({
      code: 'AQ_TIMEOUT',
    })
    gate.open()
    await busy
    expect((await flow.process(new WorkTask(2))).call).toBe(2)
  })

  test('a signal that is aborted already: the task is not admitted', async () => {
    await using flow = await working()
    const reason = new Error('changed my mind')
    const error = await rejection(
      flow.process(new WorkTask(0), { signal: AbortSignal.abort(reason) }),
    )
    expect(error).toMatchObject({ name: 'TaskCancelledError', code: 'AQ_CANCELLED', cause: reason })
    expect((await flow.process(new WorkTask(1))).call).toBe(1)
  })

  test('a signal that is aborted while the task waits: the task is never started', async () => {
    await using gate = await Gate.close()
    await using flow = await working()
    const busy = flow.process(new WorkTask(0, { gate: gate.name }))
    await gate.visited()
    const controller = new AbortController()
    const waiting = rejection(flow.process(new WorkTask(1), { signal: controller.signal }))
    controller.abort('no longer needed')
    expect(await waiting).toMatchObject({ code: 'AQ_CANCELLED', cause: 'no longer needed' })
    gate.open()
    await busy
    expect((await flow.process(new WorkTask(2))).call).toBe(2)
  })

  test('a signal that is aborted while the task runs: the caller is told at once, its result is dropped', async () => {
    await using gate = await Gate.close()
    await using flow = await working()
    const controller = new AbortController()
    const task = Object.assign(new WorkTask(1, { gate: gate.name }), {
      payload: new Uint8Array(HeavyTask.bytes),
    })
    const running = rejection(flow.process(task, { signal: controller.signal }))
    await gate.visited()
    controller.abort()
    expect(await running).toMatchObject({ code: 'AQ_CANCELLED', cause: { name: 'AbortError' } })
    // The handler still reads the payload.
    expect(flow.stats().memory.blocksInUse).toBe(1)
    gate.open()
    expect((await flow.process(new WorkTask(2))).call).toBe(2)
    expect(task.batch).toBeUndefined()
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('a handler that blocks its event loop sees that its task was cancelled', async () => {
    await using gate = await Gate.close()
    await using flow = await working()
    const controller = new AbortController()
    const task = new WorkTask(0, { gate: gate.name, works: true })
    const gone = rejection(flow.process(task, { signal: controller.signal, timeout: Infinity }))
    await gate.visited()
    gate.open()
    controller.abort()
    expect(await gone).toMatchObject({ code: 'AQ_CANCELLED' })
    expect((await flow.process(new WorkTask(1))).call).toBe(2)
    expect(task.isCancelled).toBe(false) // it is in no handler's hands
  })

  test('a handler that blocks its event loop sees that the deadline of its task has passed', async () => {
    await using gate = await Gate.close()
    await using flow = await working()
    const late = new WorkTask(0, { gate: gate.name, works: true })
    expect(await rejection(flow.process(late, { timeout: 500 }))).toMatchObject({
      code: 'AQ_TIMEOUT',
    })
    await gate.visited()
    gate.open()
    expect((await flow.process(new WorkTask(1))).call).toBe(2)
  })

  test('a task that its handler keeps is not told of what becomes of others', async () => {
    await using gate = await Gate.close()
    await using flow = await started(new Flow([new FlowStep(KeepingHandler, { isolation })]))
    await flow.process(new WorkTask(0)) // it keeps this one
    const controller = new AbortController()
    const gone = rejection(
      flow.process(new WorkTask(1, { gate: gate.name }), { signal: controller.signal }),
    )
    await gate.visited()
    controller.abort()
    await gone
    gate.open()
    // Its slot was that of the first: [the first, its own].
    expect((await flow.process(new WorkTask(2))).cancelled).toEqual([false, true])
  })

  test('a settled task leaves no listener on its signal', async () => {
    await using flow = await working()
    const { signal } = new AbortController()
    await Promise.all(
      Array.from({ length: 50 }, (_, id) => flow.process(new WorkTask(id), { signal })),
    )
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })

  test('cancelled tasks make room for others at once', async () => {
    await using gate = await Gate.close()
    await using flow = await working({ maxPending: 20 }, { queueSize: 4 })
    const busy = flow.process(new WorkTask(-1, { gate: gate.name }))
    await gate.visited()
    for (let round = 0; round < 200; round++) {
      const controller = new AbortController()
      const errors = Array.from({ length: 19 }, (_, id) =>
        rejection(flow.process(new WorkTask(id), { signal: controller.signal })),
      )
      controller.abort()
      for (const error of await Promise.all(errors))
        expect(error).toMatchObject({ code: 'AQ_CANCELLED' })
    }
    const last = flow.process(new WorkTask(5))
    gate.open()
    await busy
    expect((await last).call).toBe(2)
    expect(flow.stats().tasks).toMatchObject({ admitted: 3802, cancelled: 3800, completed: 2 })
  })

  test('one more task finds its place behind as many cancelled ones as there may be', async () => {
    await using gate = await Gate.close()
    await using flow = await working({ maxPending: 2 }, { queueSize: 192 })
    const busy = flow.process(new WorkTask(-1, { gate: gate.name }))
    await gate.visited()
    for (let round = 0; round < 40; round++) {
      const controller = new AbortController()
      const error = rejection(flow.process(new WorkTask(round), { signal: controller.signal }))
      controller.abort()
      expect(await error).toMatchObject({ code: 'AQ_CANCELLED' })
    }
    const last = flow.process(new WorkTask(40), { timeout: Infinity })
    gate.open()
    await busy
    expect((await last).call).toBe(2)
  })

  test('a task whose condition aborts its own signal is cancelled', async () => {
    await using flow = await started(
      new Flow([new FlowStep(First, { handleCondition: 'wantsFirst' })]),
    )
    const controller = new AbortController()
    const task = new PickyTask([])
    task.wantsFirst = () => {
      controller.abort()
      return true
    }
    expect(await rejection(flow.process(task, { signal: controller.signal }))).toMatchObject({
      code: 'AQ_CANCELLED',
    })
    expect(flow.stats().tasks).toMatchObject({ admitted: 1, cancelled: 1, pending: 0 })
  })

  test('the counters balance at every moment, whatever happens to the tasks', async () => {
    await using flow = await working({ maxPending: 500 }, { batchSize: 5, nprocs: 2 })
    const expectBalance = (): void => {
      const { admitted, completed, failed, timedOut, cancelled, pending } = flow.stats().tasks
      expect(completed + failed + timedOut + cancelled + pending).toBe(admitted)
    }
    const outcomes: Promise<unknown>[] = []
    for (let id = 0; id < 1_000; id++) {
      const controller = new AbortController()
      const task = new WorkTask(id, id % 7 === 0 ? { throws: 'bad' } : {})
      const timeout = id % 5 === 0 ? id % 3 : 20_000
      const outcome = flow.process(task, { timeout, signal: controller.signal })
      outcomes.push(outcome.then(expectBalance, expectBalance))
      if (id % 11 === 0) queueMicrotask(() => controller.abort())
      if (id % 13 === 0) setImmediate(() => controller.abort())
      if (id % 50 === 0) await turn()
      expectBalance()
    }
    await Promise.all(outcomes)
    const { tasks } = flow.stats()
    expect(tasks.admitted + tasks.rejected).toBe(1_000)
    expect(tasks.pending).toBe(0)
    // What runs on for callers that have gone comes to its end too.
    await until(() => flow.stats().memory.blocksInUse === 0, 'blocks in use are back to 0')
  })
})
