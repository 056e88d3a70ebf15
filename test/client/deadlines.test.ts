import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Deadlines, type Timed } from '../../src/client/deadlines.ts'

const LONGEST_TIMER = 2 ** 31 - 1

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

const timed = (deadline: number): Timed => ({ deadline, deadlinePlace: -1 })

test.each([LONGEST_TIMER, LONGEST_TIMER + 1, 2 ** 32, 5 * LONGEST_TIMER])(
  'a deadline in %i ms is kept, although no timer of Node runs for more than 25 days',
  (timeout) => {
    const expired: Timed[] = []
    const overflow = vi.fn<(warning: Error) => void>()
    process.on('warning', overflow)
    const deadlines = new Deadlines(
      () => performance.now(),
      (entry) => expired.push(entry),
      true,
    )
    const begin = performance.now()
    const late = timed(begin + timeout)
    const soon = timed(begin + 10)
    deadlines.add(late, timeout)
    deadlines.add(soon, 10)
    vi.advanceTimersByTime(10)
    expect(expired).toEqual([soon])
    vi.advanceTimersByTime(timeout - 11)
    expect(expired).toEqual([soon])
    vi.advanceTimersByTime(1)
    expect(expired).toEqual([soon, late])
    expect(vi.getTimerCount()).toBe(0)
    process.off('warning', overflow)
    expect(overflow).not.toHaveBeenCalled()
  },
)
