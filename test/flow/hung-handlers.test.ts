import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { Journal, describeIsolations, rejection, started, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

const endless = { timeout: Infinity }

describeIsolations('a handler that takes longer than its handleTimeout', (isolation) => {
  test('loses its worker; only the task that is too slow alone fails, the flow goes on', async () => {
    const journal = new Journal()
    const step = new FlowStep(WorkHandler, {
      isolation,
      batchSize: 3,
      batchTimeout: 60_000,
      handleTimeout: 1_000,
    })
    await using flow = await started(new Flow([step], { logger: journal }))
    const tasks = [
      new WorkTask(1),
      new WorkTask(2, { deaf: true }), // an endless loop
      new WorkTask(3),
    ]
    const outcomes = await Promise.allSettled(tasks.map((task) => flow.process(task, endless)))
    expect(outcomes).toMatchObject([
      { value: { batch: [1] } },
      {
        reason: {
          name: 'HandlerTimeoutError',
          code: 'AQ_HANDLE_TIMEOUT',
          step: 'WorkHandler',
          handleTimeout: 1_000,
        },
      },
      { value: { batch: [3] } },
    ])
    expect(journal.count('warn')).toBe(2)
    expect(journal.of('warn')[0]!.message).toContain('busy for longer than 1000 ms')
    expect(flow.stats().tasks).toMatchObject({ completed: 2, failed: 1, pending: 0 })
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('also when it waits for something that never comes, beside other batches', async () => {
    await using gate = await Gate.close()
    const journal = new Journal()
    const step = new FlowStep(WorkHandler, { isolation, concurrency: 4, handleTimeout: 1_000 })
    await using flow = await started(new Flow([step], { logger: journal }))
    const stuck = rejection(flow.process(new WorkTask(1, { gate: gate.name }), endless))
    await gate.visited()
    await flow.process(new WorkTask(2))
    expect(await stuck).toMatchObject({ code: 'AQ_HANDLE_TIMEOUT' })
    await flow.process(new WorkTask(3), endless)
  })

  // A thread in native code cannot be ended.
  test.runIf(isolation === 'process')('also when it is stuck in native code', async () => {
    const step = new FlowStep(WorkHandler, { isolation, handleTimeout: 500 })
    await using flow = await started(new Flow([step], { logger: new Journal() }))
    const error = await rejection(flow.process(new WorkTask(1, { stuck: true }), endless))
    expect(error).toMatchObject({ code: 'AQ_HANDLE_TIMEOUT', handleTimeout: 500 })
    await flow.process(new WorkTask(2), endless)
  })

  test('fails at once where its tasks must not be run again', async () => {
    const step = new FlowStep(WorkHandler, { isolation, retries: 0, handleTimeout: 500 })
    await using flow = await started(new Flow([step], { logger: new Journal() }))
    const error = await rejection(flow.process(new WorkTask(1, { deaf: true }), endless))
    expect(error).toMatchObject({ code: 'AQ_HANDLE_TIMEOUT', handleTimeout: 500 })
  })

  test('is not ended for a time in which it had nothing to do', async () => {
    const step = new FlowStep(WorkHandler, { isolation, handleTimeout: 200 })
    const journal = new Journal()
    await using flow = await started(new Flow([step], { logger: journal }))
    await flow.process(new WorkTask(1), endless)
    const before = performance.now()
    await until(() => performance.now() - before > 600, 'three times its limit have passed')
    await flow.process(new WorkTask(2), endless)
    expect(flow.stats().workers).toMatchObject([{ restarts: 0 }])
  })
})

test('health() tells that the only worker of a step has died, and that another has come', async () => {
  const journal = new Journal()
  await using flow = await started(
    new Flow([new FlowStep(WorkHandler, { isolation: 'process' })], { logger: journal }),
  )
  expect(flow.health()).toMatchObject({ isReady: true, state: 'running' })
  process.kill(flow.stats().workers[0]!.pid, 'SIGKILL')
  await journal.reached('warn', 1)
  expect(flow.health()).toMatchObject({
    isReady: false,
    reason: 'step WorkHandler is not ready: no worker of it is ready',
  })
  await journal.reached('info', 1)
  expect(flow.health()).toMatchObject({ isReady: true, reason: undefined })
  await flow.stop()
  expect(flow.health()).toMatchObject({ isReady: false, reason: 'the flow is stopped' })
})
