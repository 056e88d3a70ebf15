import { describe, expect, test } from 'vitest'
import { Ledger } from '../../src/chaos/ledger.ts'
import {
  type TaskCounts,
  QueueFullError,
  TaskCancelledError,
  TaskTimeoutError,
  WorkerDiedError,
} from '../../src/index.ts'

/** Books with one task of each outcome, and one pending. */
function balanced(): Ledger {
  const ledger = new Ledger()
  for (let task = 0; task < 6; task++) ledger.admit()
  ledger.complete()
  ledger.reject(new TaskTimeoutError(5))
  ledger.reject(new TaskCancelledError('hung up'))
  ledger.reject(new WorkerDiedError('Sum', 1, undefined, 'SIGKILL'))
  ledger.reject(new QueueFullError(1))
  return ledger
}

const same: TaskCounts = {
  admitted: 5,
  completed: 1,
  failed: 1,
  timedOut: 1,
  cancelled: 1,
  pending: 1,
  rejected: 1,
}

describe('the books of the callers', () => {
  test('have each outcome once, and what is refused was never admitted', () => {
    const ledger = balanced()
    expect(ledger.counts).toEqual(same)
    expect(ledger.settled).toBe(4)
    expect(ledger.failedBy).toEqual({ AQ_WORKER_DIED: 1 })
  })

  test('that balance with the flow’s are no problem', () => {
    const ledger = balanced()
    ledger.compare(same)
    expect(ledger).toMatchObject({ imbalances: 0, problems: [] })
  })

  test.each([
    ['an outcome that the flow has booked twice', { completed: 2, pending: 0 }],
    ['an outcome that no caller was told', { cancelled: 2, pending: 0 }],
    ['an outcome that the flow forgot', { failed: 0, pending: 2 }],
    ['a sum that is not right', { completed: 2 }],
    ['a task that was never handed over', { admitted: 6, pending: 2 }],
  ])('tell of %s', (_, change) => {
    const ledger = balanced()
    ledger.compare({ ...same, ...change })
    expect(ledger.imbalances).toBe(1)
    expect(ledger.problems[0]).toContain(Object.keys(change)[0])
  })

  test('have other callers beside them: the flow’s books are not less, and theirs stay theirs', () => {
    const ledger = balanced()
    ledger.hasOthers = true
    const together = { ...same, admitted: 25, completed: 20, pending: 2 }
    ledger.compare(together)
    expect(ledger.imbalances).toBe(0)
    ledger.compare({ ...same, admitted: 3, pending: -1 })
    expect(ledger.imbalances).toBe(1)
    ledger.leaveOthersOut({ ...together, admitted: 24, pending: 1 })
    ledger.complete()
    ledger.compare({ ...together, admitted: 24, completed: 21, pending: 0 })
    expect(ledger.imbalances).toBe(1)
    ledger.compare({ ...together, admitted: 25, completed: 22, pending: 0 })
    expect(ledger.imbalances).toBe(2)
  })

  test('tell the first few problems only', () => {
    const ledger = new Ledger()
    for (let problem = 0; problem < 100; problem++) ledger.wrong(`problem ${problem}`)
    expect(ledger.wrongResults).toBe(100)
    expect(ledger.problems).toHaveLength(10)
  })
})
