import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  type EdgeEnd,
  Flow,
  type FlowMetrics,
  type FlowOptions,
  FlowStep,
  type Histogram,
} from '../../src/index.ts'
import { First, MeasuredTask, Second } from '../fixtures/measured.ts'
import { Journal, describeIsolations, rejection, started, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

const MiB = 2 ** 20

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0)

/** Tasks that have gone along the edges that a test is true for. */
const travelled = (
  { edges }: FlowMetrics,
  accept: (from: EdgeEnd, to: EdgeEnd, priority: number) => boolean,
): number =>
  sumOf(
    edges
      .filter(({ from, to, priority }) => accept(from, to, priority))
      .map(({ transferMs }) => transferMs.count),
  )

function histogramsOf(metrics: FlowMetrics): Histogram[] {
  const { totalMs, steps, edges } = metrics
  return [
    totalMs,
    ...steps.flatMap(({ batchMs, batchTasks, handleMs, taskHandleMs }) => [
      batchMs,
      batchTasks,
      handleMs,
      taskHandleMs,
    ]),
    ...edges.flatMap(({ transferMs, taskBytes }) => [transferMs, taskBytes]),
  ]
}

/** What leaves a place has come there, and what is handled too. */
function expectBalanced(metrics: FlowMetrics): void {
  metrics.steps.forEach(({ batchSize, taskHandleMs, batchTasks, handleMs }, step) => {
    const arrived = travelled(metrics, (_, to) => to === step)
    expect(taskHandleMs.count).toBe(arrived)
    expect(batchTasks.sum).toBe(batchSize > 1 ? arrived : 0)
    expect(handleMs.count).toBe(batchSize > 1 ? batchTasks.count : arrived)
    expect(travelled(metrics, (from) => from === step)).toBe(arrived)
  })
  expect(metrics.totalMs.count).toBe(metrics.tasks.completed)
  expect(travelled(metrics, (_, to) => to === 'client')).toBe(metrics.tasks.completed)
  expect(travelled(metrics, (from) => from === 'client')).toBe(metrics.tasks.completed)
  for (const { counts, count, sum } of histogramsOf(metrics)) {
    expect(sumOf(counts)).toBe(count)
    expect(sum).toBeGreaterThanOrEqual(0)
  }
}

const process = (
  flow: Flow<MeasuredTask>,
  count: number,
  priority = 0,
  skips = false,
): Promise<unknown> =>
  Promise.all(
    Array.from({ length: count }, () => flow.process(new MeasuredTask({ skips }), { priority })),
  )

/** A line of /proc/<pid>/status, in bytes. */
const statusOf = (pid: number, field: string): number => {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  return Number(new RegExp(`^${field}:\\s*(\\d+) kB`, 'm').exec(status)![1]) * 1024
}

describeIsolations('metrics', (isolation) => {
  const pipeline = (options: FlowOptions = {}): Flow<MeasuredTask> =>
    new Flow(
      [
        new FlowStep(First, { isolation, nprocs: 2, batchSize: 4 }),
        new FlowStep(Second, { isolation, handleCondition: 'wantsSecond' }),
      ],
      { queuePriorities: 3, ...options },
    )

  test('of all workers and edges balance with the books', async () => {
    await using flow = await started(pipeline())
    await Promise.all([process(flow, 30), process(flow, 20, 1), process(flow, 10, 2, true)])
    const metrics = flow.metrics()
    expectBalanced(metrics)
    expect(metrics.tasks).toMatchObject({ admitted: 60, completed: 60, pending: 0 })
    const tasks = metrics.edges.map(({ from, to, priority, transferMs }) => [
      from,
      to,
      priority,
      transferMs.count,
    ])
    expect(tasks).toEqual([
      ['client', 0, 0, 30],
      ['client', 0, 1, 20],
      ['client', 0, 2, 10],
      [0, 1, 0, 30],
      [0, 1, 1, 20],
      [0, 'client', 2, 10],
      [1, 'client', 0, 30],
      [1, 'client', 1, 20],
    ])
    const stats = flow.stats()
    expect(stats.steps).toMatchObject([
      { name: 'First', tasks: 60, failed: 0, batches: metrics.steps[0]!.batchTasks.count },
      { name: 'Second', tasks: 50, failed: 0, batches: 50, meanBatchSize: 1 },
    ])
    expect(stats.steps[0]!.queueMs.mean * 60).toBeCloseTo(
      sumOf(metrics.edges.slice(0, 3).map(({ transferMs }) => transferMs.sum)),
    )
  })

  test('have the sizes of tasks with their payloads, wherever those lie', async () => {
    await using flow = await started(pipeline({ payloadThreshold: 10_000 }))
    for (const bytes of [1_000, 9_999, 10_000, 5 * MiB]) {
      await flow.process(new MeasuredTask({}, bytes))
    }
    for (const { taskBytes } of flow.metrics().edges) {
      expect(taskBytes.count).toBe(4)
      const fields = taskBytes.sum - (1_000 + 9_999 + 10_000 + 5 * MiB)
      expect(fields).toBeGreaterThan(0)
      expect(fields).toBeLessThan(4 * 300)
    }
  })

  test('count a batch from its first task on, not from when its worker began to wait', async () => {
    const idle = 50
    await using flow = await started(
      new Flow([new FlowStep(First, { isolation, batchSize: 2, batchTimeout: 60_000 })]),
    )
    const begin = performance.now()
    await until(() => performance.now() > begin + idle, 'the worker has been idle')
    const firstAt = performance.now()
    const first = flow.process(new MeasuredTask())
    await until(() => flow.metrics().steps[0]!.waiting[0] === 0, 'the worker has the task')
    const takenAt = performance.now()
    await until(() => performance.now() > takenAt + idle, 'the batch has waited')
    const waited = performance.now() - takenAt
    await Promise.all([first, flow.process(new MeasuredTask())])
    const elapsed = performance.now() - firstAt
    const [{ batchMs, batchTasks }] = flow.metrics().steps as [FlowMetrics['steps'][number]]
    expect(batchTasks).toMatchObject({ count: 1, sum: 2 })
    expect(batchMs.count).toBe(1)
    expect(batchMs.sum).toBeGreaterThanOrEqual(waited)
    expect(batchMs.sum).toBeLessThanOrEqual(elapsed)
  })

  test('have the wait for a place in the queue on the way from the program', async () => {
    await using gate = await Gate.close()
    await using flow = await started(new Flow([new FlowStep(First, { isolation, queueSize: 1 })]))
    const held = flow.process(new MeasuredTask({ gate: gate.name }))
    await gate.visited()
    const others = process(flow, 3)
    const since = performance.now()
    await until(() => performance.now() > since + 20, 'they have waited')
    expect(flow.metrics().steps[0]!.waiting).toEqual([1])
    const waited = performance.now() - since
    gate.open()
    await Promise.all([held, others])
    const [toFirst] = flow.metrics().edges
    expect(toFirst).toMatchObject({ from: 'client', to: 0 })
    expect(toFirst!.transferMs.sum).toBeGreaterThan(3 * waited)
  })

  test("of the parts of a task's way add up to no more than all of it", async () => {
    await using gate = await Gate.close()
    await using flow = await started(
      new Flow([new FlowStep(First, { isolation }), new FlowStep(Second, { isolation })]),
    )
    const held = flow.process(new MeasuredTask({ gate: gate.name }))
    await gate.visited()
    const since = performance.now()
    await until(() => performance.now() > since + 50, 'the handler has taken its time')
    gate.open()
    await held
    const { totalMs, steps, edges } = flow.metrics()
    expect(steps[0]!.taskHandleMs.sum).toBeGreaterThan(50)
    const parts = [
      ...steps.flatMap(({ batchMs, taskHandleMs }) => [batchMs.sum, taskHandleMs.sum]),
      ...edges.map(({ transferMs }) => transferMs.sum),
    ]
    // The clocks of two processes agree to microseconds.
    expect(sumOf(parts)).toBeLessThan(totalMs.sum + 1)
  })

  test('survive the death of a worker', async () => {
    const journal = new Journal()
    await using flow = await started(
      new Flow([new FlowStep(First, { isolation, batchSize: 4, retries: 0 })], { logger: journal }),
    )
    await process(flow, 10)
    const before = flow.metrics()
    await rejection(flow.process(new MeasuredTask({ kills: true })))
    await journal.reached('info', 1)
    expect(flow.metrics()).toMatchObject({
      totalMs: before.totalMs,
      workers: { running: 1, died: 1 },
      tasks: { admitted: 11, completed: 10, failed: 1 },
    })
    expect(flow.metrics().steps[0]).toMatchObject({
      handleMs: before.steps[0]!.handleMs,
      taskHandleMs: before.steps[0]!.taskHandleMs,
    })
    await process(flow, 5)
    const after = flow.metrics()
    expect(after.totalMs.count).toBe(15)
    expect(after.steps[0]!.taskHandleMs.count).toBe(15)
    // The task that killed its worker was in a batch that was gathered, but no handler has finished with it.
    expect(travelled(after, (_, to) => to === 0)).toBe(15)
    expect(after.steps[0]!.batchTasks.sum).toBe(16)
  })

  test('are not kept without the option, but for the books', async () => {
    await using flow = await started(pipeline({ metrics: false }))
    const task = new MeasuredTask()
    await flow.process(task)
    await process(flow, 9, 1)
    await rejection(flow.process(new MeasuredTask(), { signal: AbortSignal.abort() }))
    await flow.process(new MeasuredTask({ skips: true }))
    const metrics = flow.metrics()
    expect(metrics.isEnabled).toBe(false)
    expect(metrics.edges).toEqual([])
    for (const { count } of histogramsOf(metrics)) expect(count).toBe(0)
    expect(metrics.tasks).toMatchObject({ admitted: 11, completed: 11, failed: 0, pending: 0 })
    expect(metrics.workers).toEqual({ running: 3, died: 0 })
    expect(task.timings).toBeUndefined()
    expect(flow.stats().steps).toMatchObject([{ tasks: 0, batches: 0, queueMs: { mean: 0 } }, {}])
  })

  test('are empty before the start, those of the end after the stop, and begin anew with a start', async () => {
    const flow = pipeline()
    expect(flow.metrics()).toMatchObject({
      isEnabled: true,
      totalMs: { count: 0 },
      steps: [{ name: 'First', batchSize: 4, waiting: [0, 0, 0] }, { name: 'Second' }],
      edges: [],
      finished: [0, 0, 0],
      workers: { running: 0, died: 0 },
    })
    await flow.start()
    await process(flow, 7)
    const running = flow.metrics()
    await flow.stop()
    const stopped = flow.metrics()
    expect(stopped).toEqual({ ...running, workers: { running: 0, died: 0 } })
    expectBalanced(stopped)
    await flow.start()
    expect(flow.metrics()).toMatchObject({ tasks: { admitted: 0 }, totalMs: { count: 0 } })
    await process(flow, 2)
    expect(flow.metrics().totalMs.count).toBe(2)
    expect(stopped.totalMs.count).toBe(7)
    await flow.stop()
  })

  test('show the tasks that are finished and not yet collected, by priority', async () => {
    await using flow = await started(pipeline())
    const tasks = [0, 2, 2].map((priority) => flow.process(new MeasuredTask(), { priority }))
    await Promise.resolve() // then the workers have been rung
    // This thread does not come to collect what they do.
    const seen = (): number => sumOf(flow.metrics().finished)
    const deadline = performance.now() + 10_000
    while (seen() < 3 && performance.now() < deadline);
    expect(flow.metrics().finished).toEqual([1, 0, 2])
    await Promise.all(tasks)
    expect(flow.metrics().finished).toEqual([0, 0, 0])
  })

  test('of memory are what a worker has for itself, without the shared memory', async () => {
    await using flow = await started(
      new Flow([new FlowStep(First, { isolation, nprocs: 2 })], { payloadThreshold: 10_000 }),
    )
    using task = await flow.process(new MeasuredTask({ touches: true }, 256 * MiB))
    const { workers, memory } = flow.stats()
    expect(memory.bytesCommitted).toBeGreaterThanOrEqual(256 * MiB)
    const own = workers.map(({ pid, rssAnonBytes }) => ({
      rssAnonBytes,
      // What others allocate in between is far less.
      difference: Math.abs(rssAnonBytes - statusOf(pid, 'RssAnon')),
      others: statusOf(pid, 'VmRSS') - rssAnonBytes,
    }))
    for (const { rssAnonBytes, difference } of own) {
      expect(rssAnonBytes).toBeGreaterThan(4 * MiB)
      expect(difference).toBeLessThan(64 * MiB)
    }
    // One of them has read all of the payload.
    expect(Math.max(...own.map(({ others }) => others))).toBeGreaterThan(200 * MiB)
    expect(new Set(workers.map(({ pid }) => pid)).size).toBe(isolation === 'thread' ? 1 : 2)
    task.release()
    await flow.stop()
    for (const { rssAnonBytes } of flow.stats().workers) expect(rssAnonBytes).toBe(0)
  })
})
