import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Failed, split } from '../../src/worker/split.ts'

const bound = (size: number): number => 2 * Math.ceil(Math.log2(size)) + 1

/** What becomes of the tasks 0 to `size` - 1 when a handler throws for those in `culprits`. */
async function outcomeOf(
  size: number,
  culprits: ReadonlySet<number>,
  leaving: ReadonlySet<number> = new Set(),
) {
  const calls: number[][] = []
  const succeeded: number[] = []
  const failed: number[] = []
  const gone = new Set<number>()
  /** What a call leaves of its tasks; their callers leave while the first culprit is handled that is with them. */
  const call = (tasks: readonly number[]): Failed<number> | undefined => {
    const culprit = tasks.find((task) => culprits.has(task) || leaving.has(task))
    if (culprit === undefined) {
      succeeded.push(...tasks)
      return undefined
    }
    const left = tasks.filter((task) => !leaving.has(task))
    for (const task of tasks) if (leaving.has(task)) gone.add(task)
    if (left.length === 0) return undefined
    return { tasks: left, error: culprit, hasShrunk: left.length < tasks.length }
  }
  const first = call(Array.from({ length: size }, (_, task) => task))
  if (first !== undefined) {
    await split<number, Failed<number>>(
      first,
      async (tasks) => {
        calls.push([...tasks])
        return Promise.resolve(call(tasks))
      },
      ({ tasks }) => failed.push(...tasks),
    )
  }
  return { calls, succeeded, failed, gone: [...gone] }
}

const sizes = fc.integer({ min: 1, max: 300 })
/** A size, and some of so many tasks. */
const batches = sizes.chain((size) =>
  fc.tuple(
    fc.constant(size),
    fc.uniqueArray(fc.nat(size - 1), { maxLength: size }),
    fc.uniqueArray(fc.nat(size - 1), { maxLength: size }),
  ),
)
const ascending = (numbers: readonly number[]): number[] => numbers.toSorted((a, b) => a - b)
const upTo = (size: number): number[] => Array.from({ length: size }, (_, task) => task)

describe('a batch that throws', () => {
  test('with one culprit costs at most 2·log2(n) further calls, and only the culprit fails', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), async (size, seed) => {
        const culprit = seed % size
        const { calls, succeeded, failed } = await outcomeOf(size, new Set([culprit]))
        expect(failed).toEqual([culprit])
        expect(ascending(succeeded)).toEqual(upTo(size).filter((task) => task !== culprit))
        expect(calls.length).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(size)))
      }),
      { numRuns: 500 },
    )
  })

  test('with any culprits is called again 2·log2(n) + 1 times at most; each task is settled once, and no culprit succeeds', async () => {
    await fc.assert(
      fc.asyncProperty(batches, async ([size, culprits]) => {
        const bad = new Set(culprits)
        const { calls, succeeded, failed } = await outcomeOf(size, bad)
        expect(calls.length).toBeLessThanOrEqual(bound(size))
        expect(ascending([...succeeded, ...failed])).toEqual(upTo(size))
        for (const culprit of bad) expect(failed).toContain(culprit)
      }),
      { numRuns: 500 },
    )
  })

  test('a success is the success of one call: whoever succeeds was not with a culprit in it', async () => {
    await fc.assert(
      fc.asyncProperty(batches, async ([size, culprits]) => {
        const bad = new Set(culprits)
        const { calls, succeeded } = await outcomeOf(size, bad)
        if (bad.size === 0) return
        const good = calls.filter((tasks) => !tasks.some((task) => bad.has(task)))
        expect(good.flat()).toEqual(succeeded)
      }),
      { numRuns: 300 },
    )
  })

  test('because of callers that leave is tried again without them, as it is', async () => {
    await fc.assert(
      fc.asyncProperty(batches, async ([size, leaving]) => {
        const { calls, succeeded, failed, gone } = await outcomeOf(
          size,
          new Set(),
          new Set(leaving),
        )
        expect(failed).toEqual([])
        expect(ascending([...succeeded, ...gone])).toEqual(upTo(size))
        const isSplit = leaving.length > 0 && leaving.length < size
        expect(calls).toEqual(isSplit ? [upTo(size).filter((it) => !leaving.includes(it))] : [])
      }),
      { numRuns: 300 },
    )
  })

  test('with one culprit among callers that leave: the innocent succeed within 2·log2(n) + 1 calls', async () => {
    await fc.assert(
      fc.asyncProperty(batches, fc.nat(), async ([size, leaving], seed) => {
        const culprit = seed % size
        const away = new Set(leaving.filter((task) => task !== culprit))
        const { calls, failed } = await outcomeOf(size, new Set([culprit]), away)
        expect(failed).toEqual([culprit])
        expect(calls.length).toBeLessThanOrEqual(bound(size))
      }),
      { numRuns: 300 },
    )
  })

  test.each([
    [2, [[0], [1]]],
    [3, [[0, 1], [2], [0], [1]]],
    [5, [[0, 1, 2], [3, 4], [0, 1], [2], [0], [1]]],
  ])('%i tasks, the first of them bad: the calls are %j', async (size, calls) => {
    expect((await outcomeOf(size, new Set([0]))).calls).toEqual(calls)
  })
})
