import { expect, test } from 'vitest'
import { SlowTasks } from '../../src/watch/slow-tasks.ts'

class Quick {
  readonly totalMs: number
  readonly timings
  constructor(totalMs: number) {
    this.totalMs = totalMs
    this.timings = { totalMs, steps: [] }
  }
}
class Thorough extends Quick {}

/** What is kept of tasks that ended at these flow times, at the time of the last. */
function kept(...offers: [task: Quick, endedAt: number][]) {
  const slow = new SlowTasks()
  for (const [task, endedAt] of offers)
    if (slow.wants(task.totalMs, endedAt)) slow.take(task, endedAt, 0)
  return slow
    .list(offers.at(-1)![1], 100)
    .map(({ task, totalMs, alike }) => `${task} ${totalMs} +${alike}`)
}

test('the slowest are kept, the slowest first', () => {
  expect(
    kept([new Quick(3), 0], [new Quick(9), 10], [new Quick(1), 20], [new Quick(5), 30]),
  ).toEqual(['Quick 9 +0', 'Quick 5 +0', 'Quick 3 +0', 'Quick 1 +0'])
  const hundred = Array.from({ length: 100 }, (_, i): [Quick, number] => [
    new Quick((i * 37) % 100),
    i * 10,
  ])
  expect(kept(...hundred)).toEqual(
    [99, 98, 97, 96, 95, 94, 93, 92, 91, 90].map((ms) => `Quick ${ms} +0`),
  )
})

test('of those that ended together the slowest stands for all, whichever ended first', () => {
  expect(kept([new Quick(3), 0], [new Quick(5), 0.4], [new Quick(4), 0.8])).toEqual(['Quick 5 +2'])
  expect(kept([new Quick(5), 0], [new Quick(3), 0.4], [new Quick(4), 1.2])).toEqual([
    'Quick 5 +1',
    'Quick 4 +0',
  ])
})

test('tasks of different classes do not stand for each other', () => {
  expect(kept([new Quick(3), 0], [new Thorough(5), 0.4], [new Quick(4), 0.6])).toEqual([
    'Thorough 5 +0',
    'Quick 4 +1',
  ])
})

test('a slow task is forgotten after five minutes, a lull does not keep it', () => {
  expect(kept([new Quick(9), 0], [new Quick(1), 299_000])).toEqual(['Quick 9 +0', 'Quick 1 +0'])
  expect(kept([new Quick(9), 0], [new Quick(1), 331_000])).toEqual(['Quick 1 +0'])
})
