import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { SyncHandler, WorkHandler, WorkTask } from '../fixtures/work.ts'
import { describeIsolations, rejection, started, turn, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

const ids = (count: number, from = 0): number[] =>
  Array.from({ length: count }, (_, id) => from + id)

/** Batches in the order in which the worker got them. */
function batchesOf(tasks: readonly WorkTask[]): (number[] | undefined)[] {
  const byCall = new Map(tasks.map(({ call, batch }) => [call, batch]))
  return [...byCall].toSorted(([a], [b]) => a! - b!).map(([, batch]) => batch)
}

describeIsolations('batching', (isolation) => {
  const working = (options = {}): Promise<Flow<WorkTask>> =>
    started(new Flow([new FlowStep(WorkHandler, { isolation, ...options })]))

  test('without a batchTimeout a worker takes what is there, and never waits', async () => {
    await using gate = await Gate.close()
    await using flow = await working({ batchSize: 8 })
    const first = flow.process(new WorkTask(0, { gate: gate.name }))
    await gate.visited()
    const others = ids(11, 1).map((id) => flow.process(new WorkTask(id)))
    gate.open()
    expect(batchesOf(await Promise.all([first, ...others]))).toEqual([[0], ids(8, 1), ids(3, 9)])
    // A single task does not wait for company either.
    await expect(flow.process(new WorkTask(20))).resolves.toMatchObject({ batch: [20] })
  })

  test('a task on its own is a batch when batchSize is not given', async () => {
    await using flow = await working()
    const tasks = await Promise.all(ids(5).map((id) => flow.process(new WorkTask(id))))
    expect(tasks.map(({ batch }) => batch)).toEqual([[0], [1], [2], [3], [4]])
    for (const { timings } of tasks) expect(timings?.steps).toMatchObject([{ batchSize: 1 }])
  })

  test('a full batch starts at once, however long the batchTimeout', async () => {
    await using flow = await working({ batchSize: 4, batchTimeout: Infinity })
    const tasks = await Promise.all(ids(8).map((id) => flow.process(new WorkTask(id))))
    expect(batchesOf(tasks)).toEqual([ids(4), ids(4, 4)])
  })

  test('with a batchTimeout a worker waits for a fuller batch', async () => {
    await using flow = await working({ batchSize: 3, batchTimeout: 10_000 })
    const early = [flow.process(new WorkTask(0)), flow.process(new WorkTask(1))]
    await turn()
    const late = flow.process(new WorkTask(2))
    for (const { batch } of await Promise.all([...early, late])) expect(batch).toEqual([0, 1, 2])
  })

  test('the batchTimeout counts from the first task, whatever comes after it', async () => {
    const batchTimeout = 150
    await using flow = await working({ batchSize: 10_000, batchTimeout, queueSize: 10_000 })
    const begin = performance.now()
    const first = flow.process(new WorkTask(0))
    const others: Promise<WorkTask>[] = []
    while (flow.stats().tasks.completed === 0) {
      others.push(flow.process(new WorkTask(others.length + 1), { timeout: 30_000 }))
      await turn()
    }
    const { batch, timings } = await first
    expect(performance.now() - begin).toBeGreaterThanOrEqual(batchTimeout - 1)
    expect(timings!.steps[0]!.batchMs).toBeGreaterThanOrEqual(batchTimeout - 1)
    // Others went on coming after it was full of time: a count from the last would never have ended.
    expect(batch!.length).toBeGreaterThan(1)
    await Promise.all(others)
  })

  test('the time of a batch begins with its first task, not with the wait for it', async () => {
    await using flow = await working({ batchSize: 2, batchTimeout: Infinity })
    await Promise.all(ids(2).map((id) => flow.process(new WorkTask(id))))
    // The worker waits for its next task meanwhile: the life of another flow takes its time.
    await (await working()).stop()
    const begin = performance.now()
    const first = flow.process(new WorkTask(2))
    await until(() => flow.stats().steps[0]!.queued === 0, 'the first task is in the batch')
    const middle = performance.now()
    const second = flow.process(new WorkTask(3))
    const tasks = await Promise.all([first, second])
    const end = performance.now()
    const [one, other] = tasks.map(({ timings }) => timings!.steps[0]!.batchMs)
    expect(one).toBeLessThanOrEqual(end - begin)
    expect(other).toBeLessThanOrEqual(end - middle)
    expect(one).toBeGreaterThan(other!) // it has waited for the other
  })

  test.each(['cancelled', 'late'])(
    'a task that is %s while its batch forms drops out, and another takes its place',
    async (how) => {
      await using flow = await working({ batchSize: 3, batchTimeout: Infinity })
      const controller = new AbortController()
      const first = flow.process(new WorkTask(0), { timeout: Infinity })
      const timeout = how === 'late' ? 300 : Infinity
      const gone = rejection(flow.process(new WorkTask(1), { timeout, signal: controller.signal }))
      await until(() => flow.stats().steps[0]!.queued === 0, 'both are in the batch')
      if (how === 'cancelled') controller.abort()
      expect(await gone).toMatchObject({ code: how === 'late' ? 'AQ_TIMEOUT' : 'AQ_CANCELLED' })
      const others = [2, 3].map((id) => flow.process(new WorkTask(id), { timeout: Infinity }))
      for (const { batch } of await Promise.all([first, ...others]))
        expect(batch).toEqual([0, 2, 3])
    },
  )

  test('one worker of a step gathers at a time: 16 tasks for two workers make one batch of 16', async () => {
    await using flow = await working({ nprocs: 2, batchSize: 16, batchTimeout: 10_000 })
    for (let round = 0; round < 5; round++) {
      const tasks = await Promise.all(ids(16).map((id) => flow.process(new WorkTask(id))))
      for (const { batch } of tasks) expect(batch).toEqual(ids(16))
      expect(new Set(tasks.map(({ worker }) => worker)).size).toBe(1)
    }
  })

  test('while one worker handles, the other takes the next batch', async () => {
    await using gate = await Gate.close()
    await using flow = await working({ nprocs: 2, batchSize: 2 })
    const busy = flow.process(new WorkTask(0, { gate: gate.name }))
    await gate.visited()
    const tasks = await Promise.all(ids(20, 1).map((id) => flow.process(new WorkTask(id))))
    gate.open()
    const { worker } = await busy
    expect(new Set(tasks.map((task) => task.worker))).toEqual(new Set([1 - worker!]))
  })

  test('5,000 queued tasks go through in full batches, in their order', async () => {
    await using gate = await Gate.close()
    await using flow = await working({ batchSize: 100, queueSize: 5_000 })
    const first = flow.process(new WorkTask(-1, { gate: gate.name }))
    await gate.visited()
    const rest = ids(5_000).map((id) => flow.process(new WorkTask(id), { timeout: 30_000 }))
    gate.open()
    await first
    const batches = batchesOf(await Promise.all(rest))
    expect(batches).toEqual(Array.from({ length: 50 }, (_, index) => ids(100, index * 100)))
  })

  test.each([90, 10_000])('%i tasks go through a queue of 20', async (count) => {
    await using flow = await started(
      new Flow([
        new FlowStep(SyncHandler, { isolation, queueSize: 20, batchSize: 7 }),
        new FlowStep(SyncHandler, { isolation, queueSize: 20, batchSize: 3 }),
      ]),
    )
    const tasks = await Promise.all(
      ids(count).map((id) => flow.process(new WorkTask(id), { timeout: 30_000 })),
    )
    expect(tasks.map(({ id }) => id)).toEqual(ids(count))
    // Those that waited to be admitted were let in in the order of their calls.
    expect(batchesOf(tasks).flat()).toEqual(ids(count))
    expect(flow.stats().tasks).toMatchObject({ admitted: count, completed: count, pending: 0 })
  })

  test('an async handler gets one batch at a time, and as many as `concurrency` allows', async () => {
    await using gate = await Gate.close()
    await using flow = await working({ concurrency: 3 })
    const tasks = ids(5).map((id) => flow.process(new WorkTask(id, { gate: gate.name })))
    await gate.visited(3)
    for (let turns = 0; turns < 20; turns++) await turn()
    expect(gate.count).toBe(3)
    gate.open()
    expect((await Promise.all(tasks)).map(({ id }) => id)).toEqual(ids(5))
  })

  test('more tasks than maxPending are refused, and the others go through', async () => {
    await using gate = await Gate.close()
    await using flow = await started(
      new Flow([new FlowStep(WorkHandler, { isolation })], { maxPending: 3 }),
    )
    const tasks = ids(3).map((id) => flow.process(new WorkTask(id, { gate: gate.name })))
    const refused = new WorkTask(3)
    await expect(flow.process(refused)).rejects.toMatchObject({
      name: 'QueueFullError',
      code: 'AQ_QUEUE_FULL',
      maxPending: 3,
    })
    gate.open()
    await Promise.all(tasks)
    await expect(flow.process(refused)).resolves.toMatchObject({ batch: [3] })
    expect(flow.stats().tasks).toMatchObject({ admitted: 4, completed: 4, rejected: 1 })
  })
})
