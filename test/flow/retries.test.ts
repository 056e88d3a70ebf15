import { expect, test } from 'vitest'
import { Flow, FlowStep, InvalidOptionError } from '../../src/index.ts'
import { WorkHandler, WorkTask, WritingHandler } from '../fixtures/work.ts'
import { Journal, describeIsolations, started } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

const endless = { timeout: Infinity }

describeIsolations('the tasks of a worker that died', (isolation) => {
  test('of a handler that writes into its input fail at once, and are not run again', async () => {
    const step = new FlowStep(WritingHandler, { isolation, batchSize: 3, batchTimeout: 60_000 })
    await using flow = await started(new Flow([step], { logger: new Journal() }))
    const tasks = [new WorkTask(1), new WorkTask(2, { exits: 'WritingHandler' }), new WorkTask(3)]
    const outcomes = await Promise.allSettled(tasks.map((task) => flow.process(task, endless)))
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ reason: { code: 'AQ_WORKER_DIED', exitCode: 9 } })
    expect(flow.metrics().workers.died).toBe(1)
  })

  test('have a worker with several batches to themselves when they are run again', async () => {
    await using gate = await Gate.close()
    const step = new FlowStep(WorkHandler, { isolation, concurrency: 4 })
    await using flow = await started(new Flow([step], { logger: new Journal() }))
    const good = [1, 2, 3].map((id) => flow.process(new WorkTask(id, { gate: gate.name }), endless))
    await gate.visited(3)
    const fatal = flow.process(new WorkTask(4, { exits: 'WorkHandler' }), endless)
    await gate.visited(4) // the first of them, run again; beside it nothing dies
    gate.open()
    expect(await Promise.allSettled([...good, fatal])).toMatchObject([
      { value: { batch: [1] } },
      { value: { batch: [2] } },
      { value: { batch: [3] } },
      { reason: { code: 'AQ_TASK_POISONED' } },
    ])
    expect(flow.metrics().workers.died).toBe(2)
    expect(flow.stats().tasks).toMatchObject({ completed: 3, failed: 1, pending: 0 })
  })

  test('are run again as often as the step says', async () => {
    const step = new FlowStep(WorkHandler, { isolation, retries: 3 })
    await using flow = await started(new Flow([step], { logger: new Journal() }))
    const fatal = new WorkTask(1, { exits: 'WorkHandler' })
    await expect(flow.process(fatal, endless)).rejects.toMatchObject({ code: 'AQ_TASK_POISONED' })
    expect(flow.metrics().workers.died).toBe(4)
  })
})

test.each([{ retries: -1 }, { retries: 0.5 }, { handleTimeout: 0 }, { maxMemory: 0 }])(
  'an option that makes no sense is refused: %o',
  (options) => {
    expect(() => new FlowStep(WorkHandler, options)).toThrow(InvalidOptionError)
  },
)
