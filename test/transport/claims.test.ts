import { describe, expect, test } from 'vitest'
import { CLAIMED, stateOf } from '../../src/transport/task-table.ts'
import { MAX_SLOTS } from '../../src/transport/ring.ts'
import { eachDeath, eachPreemption } from '../support/atomics.ts'
import { CLIENT, SharedQueue } from '../support/shared-queue.ts'

const LOW = 0
const MIDDLE = 1
const HIGH = 2

describe('tasks of several priorities', () => {
  test('are claimed by turns: the first of the highest, and the one that has come first', () => {
    const shared = new SharedQueue({ priorities: 3 })
    for (const slot of [0, 1]) shared.submit(slot, LOW, slot)
    for (const slot of [2, 3, 4, 5]) shared.submit(slot, HIGH, 5_000 + slot)
    expect(shared.claimAll()).toStrictEqual([2, 0, 3, 1, 4, 5])
  })

  test.each([
    [MIDDLE, 999, 'high'],
    [MIDDLE, 1_000, 'high'],
    [MIDDLE, 1_001, 'low'],
    [HIGH, 2_000, 'high'],
    [HIGH, 2_001, 'low'],
  ])(
    'a task of priority %i that came %i ms after one of priority 0: first by age is the %s one',
    (priority, later, first) => {
      const shared = new SharedQueue({ priorities: 3, ageing: 1_000 })
      const other = shared.anotherInTurnOfAge()
      shared.submit(0, LOW, 7)
      shared.submit(1, priority, 7 + later)
      expect(other.queue.claim(1)).toBe(first === 'low' ? 0 : 1)
    },
  )

  test('each actor has turns of its own, and a new one begins with the highest priority', () => {
    const shared = new SharedQueue()
    for (const slot of [0, 1]) shared.submit(slot, 0, 0)
    for (const slot of [2, 3, 4]) shared.submit(slot, 1, 5_000)
    const [one, other] = [shared.another(), shared.another()]
    const claims = [one, other, other, one, one].map(({ queue }) => queue.claim(1))
    expect(claims).toStrictEqual([2, 3, 0, 1, 4])
  })

  test('are claimed strictly by priority when they never age', () => {
    const shared = new SharedQueue({ priorities: 3, ageing: Infinity })
    shared.submit(0, LOW, 0)
    shared.submit(1, MIDDLE, 1e9)
    for (const slot of [2, 3, 4]) shared.submit(slot, HIGH, 2e9)
    expect(shared.claimAll()).toStrictEqual([2, 3, 4, 1, 0])
  })
})

test('with one priority, tasks are claimed in the order of arrival, whenever they were admitted', () => {
  const shared = new SharedQueue({ priorities: 1 })
  shared.submit(0, 0, 9_000)
  shared.submit(1, 0, 0)
  shared.submit(2, 0, 5_000)
  expect(shared.claimAll()).toStrictEqual([0, 1, 2])
})

const three = (): SharedQueue => {
  const shared = new SharedQueue({ priorities: 1 })
  for (const slot of [0, 1, 2]) shared.submit(slot)
  return shared
}

describe('a claim where there is one priority', () => {
  test('that dies at any step leaves every other task in the queue, in order', () => {
    const steps = eachDeath((die) => {
      const shared = three()
      const other = shared.another()
      die(() => other.queue.claim(1))
      const isClaimed = stateOf(shared.tasks.word(0)) === CLAIMED
      expect(shared.another().claimAll()).toStrictEqual(isClaimed ? [1, 2] : [0, 1, 2])
    })
    expect(steps).toBeGreaterThan(3)
  })

  test.each([CLIENT, 7])(
    'that overlaps with other claims gives each task once; put there by %i',
    (producer) => {
      const overlaps = eachPreemption((preempted) => {
        const shared = new SharedQueue({ priorities: 1 })
        for (const slot of [0, 1, 2]) shared.submit(slot, 0, 0, producer)
        const [one, other] = [shared.another(), shared.another()]
        const claimed: number[] = []
        preempted(
          () => claimed.push(other.queue.claim(2), other.queue.claim(2)),
          () => claimed.push(one.queue.claim(1)),
        )
        claimed.push(...shared.claimAll())
        expect(claimed.toSorted((a, b) => a - b)).toStrictEqual([0, 1, 2])
      })
      expect(overlaps).toBeGreaterThan(3)
    },
  )

  test('finds the task whoever put it there, and the next one of the same at the first swap', () => {
    const shared = new SharedQueue({ priorities: 1 })
    for (const [slot, producer] of [5, 5, CLIENT, 9].entries()) shared.submit(slot, 0, 0, producer)
    expect(shared.claimAll()).toStrictEqual([0, 1, 2, 3])
  })

  test('is not misled by a slot that changes hands meanwhile', () => {
    eachPreemption((preempted) => {
      const shared = three()
      const other = shared.another()
      let claimed = -1
      preempted(
        () => {
          shared.withdraw(0)
          shared.submit(0)
        },
        () => {
          claimed = other.queue.claim(1)
        },
      )
      // 0 when it was claimed before; and if it was withdrawn after that, it is there again.
      expect([0, 1]).toContain(claimed)
      const left =
        claimed === 0
          ? [
              [1, 2],
              [1, 2, 0],
            ]
          : [[2, 0]]
      expect(left).toContainEqual(shared.claimAll())
    })
  })

  test('passes over a cell that names no slot', () => {
    const shared = new SharedQueue({ priorities: 1 })
    shared.queue.push(MAX_SLOTS - 1, 3, 0)
    shared.submit(2)
    expect(shared.claimAll()).toStrictEqual([2])
  })
})

describe('a claim in a turn of age', () => {
  test('that dies at any step leaves every other task in the queue, in order', () => {
    const steps = eachDeath((die) => {
      const shared = new SharedQueue()
      const other = shared.anotherInTurnOfAge()
      const later = shared.another()
      for (const slot of [0, 1, 2]) shared.submit(slot, 0, slot)
      for (const slot of [3, 4]) shared.submit(slot, 1, 5_000)
      die(() => other.queue.claim(1))
      const isClaimed = stateOf(shared.tasks.word(0)) === CLAIMED
      expect(later.claimAll()).toStrictEqual(isClaimed ? [3, 1, 4, 2] : [3, 0, 4, 1, 2])
    })
    expect(steps).toBeGreaterThan(8)
  })

  test('that overlaps with other claims gives each task once', () => {
    eachPreemption((preempted) => {
      const shared = new SharedQueue()
      const [one, other] = [shared.anotherInTurnOfAge(), shared.anotherInTurnOfAge()]
      for (const slot of [0, 1, 2]) shared.submit(slot, 0, slot)
      for (const slot of [3, 4]) shared.submit(slot, 1, 5_000)
      const claimed: number[] = []
      preempted(
        () => claimed.push(other.queue.claim(2), other.queue.claim(2)),
        () => claimed.push(one.queue.claim(1)),
      )
      claimed.push(...shared.claimAll())
      expect(claimed.toSorted((a, b) => a - b)).toStrictEqual([0, 1, 2, 3, 4])
    })
  })

  test('is not misled by a slot that changes hands meanwhile', () => {
    eachPreemption((preempted) => {
      const shared = new SharedQueue()
      const other = shared.anotherInTurnOfAge()
      shared.submit(0, 0, 0)
      shared.submit(1, 0, 1)
      shared.submit(2, 1, 5_000)
      let claimed = -1
      preempted(
        () => {
          shared.withdraw(0)
          shared.submit(0, 1, 9_000)
        },
        () => {
          claimed = other.queue.claim(1)
        },
      )
      expect([0, 1]).toContain(claimed) // 0 when its first task was claimed before
    })
  })

  test('does not overlook what was there before the task that it takes', () => {
    eachPreemption((preempted) => {
      const shared = new SharedQueue({ priorities: 3 })
      const other = shared.anotherInTurnOfAge()
      let claimed = -1
      preempted(
        () => {
          shared.submit(0, LOW, 0)
          shared.submit(1, HIGH, 5_000)
        },
        () => {
          claimed = other.queue.claim(1)
        },
      )
      expect([-1, 0]).toContain(claimed)
    })
  })
})
