import { expect, test } from 'vitest'
import { cellOf } from '../../src/transport/ring.ts'
import { generationOfState } from '../../src/transport/task-table.ts'
import { SmallFlow, SmallWorker } from '../support/small-flow.ts'

/** A flow whose client has yet to collect tasks that are done, in slots 0, 1, … */
function flowWithDone(tasks: readonly object[]): SmallFlow {
  const flow = new SmallFlow()
  for (const task of tasks) flow.submit(task)
  for (const step of [0, 1]) {
    const worker = new SmallWorker(flow, step, 0)
    for (const _ of tasks) worker.turn((batch) => batch.forEach((each) => (each['seen'] = step)))
  }
  return flow
}

test('what is done is settled together, in the order in which it was done', () => {
  const tasks = [{ number: 1 }, { number: 2 }, { number: 3 }]
  const flow = flowWithDone(tasks)
  const settled: object[] = []
  for (const [task, outcome] of flow.outcomes) {
    Object.defineProperty(outcome, 'timesSettled', {
      get: () => 0,
      set: () => {
        settled.push(task)
      },
    })
  }
  flow.client.tick()
  expect(settled).toEqual(tasks.map(({ number }) => ({ number, seen: 1 })))
  expect(flow.client.tally()).toMatchObject({ completed: 3, pending: 0 })
})

test('a task whose cell a death has doubled is settled once, and so are those around it', () => {
  const tasks = [{ number: 1 }, { number: 2 }, { number: 3 }]
  const flow = flowWithDone(tasks)
  const { completions, tasks: table } = flow.control
  for (const slot of [0, 1]) {
    const generation = generationOfState(table.word(slot))
    completions[0]!.push(cellOf(slot, generation))
    completions[0]!.push(cellOf(slot, generation))
  }
  flow.client.tick()
  for (const task of tasks) {
    expect(task).toMatchObject({ seen: 1 })
    expect(flow.outcomes.get(task)).toMatchObject({ timesSettled: 1, error: undefined })
  }
  expect(flow.client.tally()).toMatchObject({ completed: 3, pending: 0 })
  expect(flow.admitted()).toEqual([0, 0, 0])
})

test('a result that cannot be read fails its task alone', () => {
  const tasks = [{ number: 1 }, { number: 2 }, { number: 3 }]
  const flow = flowWithDone(tasks)
  const { tasks: table } = flow.control
  const generation = generationOfState(table.word(1))
  const start = table.fieldsStart(1, generation)
  table.bytes.fill(0xff, start, start + table.fieldsLength(1, generation))
  flow.client.tick()
  expect(flow.client.tally()).toMatchObject({ completed: 2, failed: 1, pending: 0 })
})
