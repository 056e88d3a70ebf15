import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { describeIsolations, started } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

describeIsolations('priorities', (isolation) => {
  /** Gives tasks with these priorities to a busy flow; returns the priorities in the order in which they were handled. */
  async function handled(priorities: readonly number[], step = {}): Promise<number[]> {
    await using gate = await Gate.close()
    await using flow = await started(
      new Flow([new FlowStep(WorkHandler, { isolation, ...step })], { queuePriorities: 3 }),
    )
    const busy = flow.process(new WorkTask(-1, { gate: gate.name }))
    await gate.visited()
    const tasks = priorities.map((priority, id) => flow.process(new WorkTask(id), { priority }))
    gate.open()
    await busy
    const done = await Promise.all(tasks)
    const order = done.toSorted((a, b) => a.call! - b.call!).map(({ id }) => id)
    // Within a priority, the order of arrival.
    for (const priority of new Set(priorities)) {
      const ids = order.filter((id) => priorities[id] === priority)
      expect(ids).toEqual(ids.toSorted((a, b) => a - b))
    }
    return order.map((id) => priorities[id]!)
  }

  test('higher priorities are handled first, each in the order of arrival', async () => {
    expect(await handled([0, 1, 2, 0, 1, 2, 2, 0])).toEqual([2, 2, 2, 1, 1, 0, 0, 0])
  })

  test('a priority above the highest counts as the highest', async () => {
    expect(await handled([0, 99, 1, 2])).toEqual([99, 2, 1, 0])
  })

  test('a flood of low priority does not shut high priority out of the queue', async () => {
    const flood = Array.from({ length: 200 }, () => 0)
    const order = await handled([...flood, 2, 1, 2], { queueSize: 5 })
    expect(order.slice(0, 3)).toEqual([2, 2, 1])
  })

  test('a flood of low priority leaves places for high priority among all that may be pending', async () => {
    await using gate = await Gate.close()
    await using flow = await started(
      new Flow([new FlowStep(WorkHandler, { isolation })], { queuePriorities: 3, maxPending: 100 }),
    )
    const give = (priority: number) =>
      flow.process(new WorkTask(priority, { gate: gate.name }), { priority, timeout: Infinity })
    const flood = Array.from({ length: 120 }, () => give(0))
    const refused = await Promise.allSettled(flood.slice(90))
    for (const outcome of refused)
      expect(outcome).toMatchObject({ reason: { code: 'AQ_QUEUE_FULL', maxPending: 90 } })
    const middle = Array.from({ length: 5 }, () => give(1))
    await expect(give(1)).rejects.toMatchObject({ code: 'AQ_QUEUE_FULL', maxPending: 95 })
    const urgent = Array.from({ length: 5 }, () => give(2))
    await expect(give(2)).rejects.toMatchObject({ code: 'AQ_QUEUE_FULL', maxPending: 100 })
    gate.open()
    await Promise.all([...flood.slice(0, 90), ...middle, ...urgent])
  })

  test('without priorities every task counts as the same', async () => {
    await using flow = await started(new Flow([new FlowStep(WorkHandler, { isolation })]))
    await expect(flow.process(new WorkTask(1), { priority: 5 })).resolves.toMatchObject({
      batch: [1],
    })
  })
})
