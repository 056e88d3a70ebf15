import { expect, test, vi } from 'vitest'
import { Flow, FlowClient, FlowObserver, FlowStep, findFlows } from '../../src/index.ts'
import { FlowRun } from '../../src/flow-run.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { EchoHandler, ValueTask } from '../fixtures/values.ts'
import { newAddress } from '../support/clients.ts'
import { Journal, describeIsolations, pidsOf, rejection, started } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { Watcher } from '../support/watcher.ts'

const quiet = { logger: new Journal() }

describeIsolations('a watched flow', (isolation) => {
  test('is shown as it is: what waits, what is in hand, what was done', async () => {
    await using gate = await Gate.close()
    await using flow = await started(
      new Flow([new FlowStep(WorkHandler, { isolation, batchSize: 2 })], { queuePriorities: 2 }),
    )
    const held = flow.process(new WorkTask(0, { gate: gate.name }))
    await gate.visited()
    const others = [0, 0, 1].map((priority, id) => flow.process(new WorkTask(id), { priority }))
    using watcher = new Watcher(flow)
    const { sample, view } = watcher.last
    expect(sample.tasks.pending).toBe(4)
    expect(sample.steps[0]!.waiting.map(({ tasks }) => tasks)).toEqual([2, 1])
    for (const { oldestMs } of sample.steps[0]!.waiting) expect(oldestMs).toBeGreaterThan(0)
    expect(sample.steps[0]!.busy).toBe(1)
    expect(view.inHand.map(({ tasks }) => tasks)).toEqual([1])
    expect(view.stats.workers.map(({ pid }) => pid)).toEqual(pidsOf(flow))
    expect(view.steps).toEqual([
      expect.objectContaining({ name: 'WorkHandler', isolation, nprocs: 1, batchSize: 2 }),
    ])
    gate.open()
    await Promise.all([held, ...others])
    const done = await watcher.until(({ last }) => last.sample.tasks.completed === 4 && last)
    expect(done.view.stats).toEqual({ ...flow.stats(), workers: done.view.stats.workers })
    const [step] = done.sample.steps
    expect(step).toMatchObject({ tasks: 4, batches: 3 })
    // Of those that formed meanwhile: the first had formed before.
    expect(step!.batchSizes).toEqual([
      [1, 1],
      [2, 1],
    ])
    const { total, queue, batch, handle, transfer } = done.sample.latency!
    // Workers and callers look at the clock each for themselves, and the scheduler may come between two looks.
    expect(total).toBeGreaterThan(0)
    expect(Math.abs(queue + batch + handle + transfer - total)).toBeLessThan(1 + total / 10)
  })

  test('shows the slowest tasks with where their time went', async () => {
    await using gate = await Gate.close()
    await using flow = await started(new Flow([new FlowStep(WorkHandler, { isolation })]))
    const held = flow.process(new WorkTask(0, { gate: gate.name }))
    await gate.visited()
    const second = flow.process(new WorkTask(1))
    gate.open()
    const tasks = await Promise.all([held, second])
    const [slowest] = tasks.map(({ timings }) => timings!).toSorted((a, b) => b.totalMs - a.totalMs)
    using watcher = new Watcher(flow)
    const { slowTasks } = watcher.last.view
    expect(slowTasks[0]).toMatchObject({ task: 'WorkTask', ...slowest })
    expect(slowTasks.length + slowTasks.reduce((sum, { alike }) => sum + alike, 0)).toBe(2)
  })

  test('shows errors of one kind as one, with their stack, and how often', async () => {
    const journal = new Journal()
    await using flow = await started(
      new Flow([new FlowStep(WorkHandler, { isolation })], { logger: journal }),
    )
    for (const id of [1, 2, 3])
      await rejection(flow.process(new WorkTask(id, { throws: `bad ${id}` })))
    await journal.reached('error', 3)
    using watcher = new Watcher(flow)
    const [problem, ...rest] = watcher.last.view.problems
    expect(rest).toEqual([])
    expect(problem).toMatchObject({ times: 3, step: 'WorkHandler', worker: 0 })
    expect(problem!.message).toContain('bad 3')
    expect(problem!.stack).toContain('work.ts')
  })

  test('shows who has shared memory', async () => {
    await using flow = await started(new Flow([new FlowStep(EchoHandler, { isolation })]))
    const kept = await flow.process(new ValueTask(new Uint8Array(100_000)))
    using watcher = new Watcher(flow)
    expect(watcher.last.view.memory).toEqual([
      { blockBytes: 28 * 4096, blocks: 1, owner: { kind: 'program', client: 0 } },
    ])
    kept.release()
  })

  test('is watched from its start to its end and through the next run', async () => {
    const flow = new Flow([new FlowStep(WorkHandler, { isolation })])
    using watcher = new Watcher(flow)
    expect(watcher.last.view).toMatchObject({ state: 'created', startedAt: undefined })
    await flow.start()
    await flow.process(new WorkTask(1))
    await watcher.until(({ last }) => last.view.state === 'running')
    await flow.stop()
    await watcher.until(({ last }) => last.view.state === 'stopped')
    expect(watcher.last.view.stats.tasks.completed).toBe(1)
    expect(watcher.last.view.events.map(({ message }) => message)).toEqual([
      'the flow is stopped',
      'the flow is stopping',
      'the flow is running',
      'the flow is starting',
    ])
  })
})

test('an observer in another process sees what a watcher in the flow’s own does, and takes no place', async () => {
  const address = newAddress()
  await using flow = await started(new Flow([WorkHandler], { address, maxClients: 1, ...quiet }))
  await using client = new FlowClient({ address, task: WorkTask, ...quiet })
  using byPid = new Watcher(new FlowObserver({ pid: process.pid }))
  using byAddress = new Watcher(new FlowObserver({ address }))
  await client.start() // there is place for it
  await client.process(new WorkTask(1))
  for (const watcher of [byPid, byAddress]) {
    const { view } = await watcher.until(
      ({ seen }) => seen.at(-1)?.view.stats.tasks.completed === 1 && seen.at(-1),
    )
    expect(view.address).toBe(address)
    expect(view.stats.tasks).toEqual(flow.stats().tasks)
    expect(view.clients).toEqual([{ client: 1, pid: process.pid }])
  }
})

test('a flow without clients can be observed', async () => {
  const address = newAddress()
  await using flow = await started(new Flow([WorkHandler], { address, maxClients: 0 }))
  using watcher = new Watcher(new FlowObserver({ address }))
  await watcher.until(({ seen }) => seen.length > 0)
  expect(watcher.last.view.state).toBe(flow.state)
  const client = new FlowClient({ address, task: WorkTask, ...quiet })
  expect(await rejection(client.start({ timeout: 100 }))).toMatchObject({
    message: expect.stringContaining('maxClients'),
  })
})

test('an observer waits for a flow that is not there, and for the next after the end of one', async () => {
  const address = newAddress()
  using watcher = new Watcher(new FlowObserver({ address }))
  expect(await watcher.until(({ losses }) => losses[0])).toContain('no flow listens')
  for (const run of [1, 2]) {
    await using flow = await started(new Flow([WorkHandler], { address }))
    expect(flow.isRunning).toBe(true)
    await watcher.until(({ histories }) => histories.length === run)
  }
  await watcher.until(({ losses }) => losses.at(-1) === 'it has ended')
})

test('a task of another process wakes a flow that nobody watches any more', async () => {
  const address = newAddress()
  const asleep = Promise.withResolvers<() => void>()
  const woken = new Promise<void>((resolve) => {
    const whenBusy = vi.spyOn(FlowRun.prototype, 'whenBusy').mockImplementation(function (
      this: FlowRun,
      callback,
    ) {
      whenBusy.mockRestore()
      this.whenBusy(() => {
        callback()
        resolve()
      })
      asleep.resolve(callback)
    })
  })
  await using flow = await started(new Flow([WorkHandler], { address, ...quiet }))
  await using client = new FlowClient({ address, task: WorkTask, ...quiet })
  await client.start()
  new Watcher(flow)[Symbol.dispose]()
  await asleep.promise
  await client.process(new WorkTask(1))
  await woken
  using watcher = new Watcher(flow)
  const second = await watcher.until(({ histories: [history], seen }) =>
    [...history!, ...seen.map(({ sample }) => sample)].find(({ tasks }) => tasks.admitted > 0),
  )
  expect(second.tasks.admitted).toBe(1)
})

test('flows are found by their process and by their user', async () => {
  const address = newAddress()
  await using flow = await started(new Flow([WorkHandler], { address }))
  expect(flow.isRunning).toBe(true)
  expect(findFlows(process.pid)).toContainEqual({ address, pid: process.pid })
  expect(findFlows()).toContainEqual({ address, pid: process.pid })
  expect(findFlows(1)).not.toContainEqual({ address, pid: 1 })
})

test('an observer needs to know whom to observe', () => {
  expect(() => new FlowObserver({})).toThrow('either { address } or { pid }')
  expect(() => new FlowObserver({ address: 'a', pid: 1 })).toThrow('either')
  expect(() => new FlowObserver({ pid: -1 })).toThrow("'pid' must be an integer")
})
