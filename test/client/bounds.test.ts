import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PAGE_BYTES } from '../../src/memory/geometry.ts'
import type { ManualClock } from '../../src/transport/clock.ts'
import { turn } from '../support/flow.ts'
import { SmallFlow, SmallWorker } from '../support/small-flow.ts'

const MOST_PENDING = [90, 95, 100] // by priority
const TIMEOUT = 50

interface Given {
  readonly pages: number
  readonly priority: number
  readonly next: 'nothing' | 'work' | 'time'
}

const given = fc.record<Given>({
  pages: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 24 }), fc.constant(60)),
  priority: fc.integer({ min: 0, max: 2 }),
  next: fc.oneof(
    { weight: 95, arbitrary: fc.constant('nothing' as const) },
    { weight: 4, arbitrary: fc.constant('work' as const) },
    { weight: 1, arbitrary: fc.constant('time' as const) },
  ),
})

test('whatever comes, tasks and bytes stay within their bounds, and what is beyond has a typed outcome', async () => {
  const codes = new Set<string>()
  await fc.assert(
    fc.asyncProperty(fc.array(given, { minLength: 50, maxLength: 250 }), async (tasks) => {
      const flow = new SmallFlow()
      const { queues, blocks, clock } = flow.control
      const workers = [0, 1].map((step) => new SmallWorker(flow, step, 0))
      const kept: object[] = []
      const look = (): void => {
        for (const queue of queues)
          for (const priority of [0, 1, 2])
            expect(queue.waiting(priority)).toBeLessThanOrEqual(flow.shape.steps[0]!.queueSize)
        expect(flow.client.pending).toBeLessThanOrEqual(MOST_PENDING.at(-1)!)
      }
      for (const { pages, priority, next } of tasks) {
        const before = { pending: flow.client.pending, pages: blocks.pagesInUse() }
        const task = flow.submit(
          pages === 0 ? {} : { image: new Uint8Array(pages * PAGE_BYTES) },
          TIMEOUT,
          undefined,
          priority,
        )
        kept.push(task)
        // What admission takes leaves the steps their part of the memory.
        const limit = Math.max(flow.control.pageLimit(0), before.pages)
        expect(blocks.pagesInUse()).toBeLessThanOrEqual(limit)
        await turn()
        const { error } = flow.outcomes.get(task)!
        const code = (error as { readonly code?: string } | undefined)?.code
        const isFull = before.pending >= MOST_PENDING[priority]!
        expect(code === 'AQ_QUEUE_FULL').toBe(isFull)
        expect(code === 'AQ_PAYLOAD_TOO_LARGE').toBe(code !== undefined && !isFull)
        look()
        if (next === 'work') for (const worker of workers) worker.turn(() => undefined)
        if (next === 'time') flow.setTime((clock as ManualClock).now() + TIMEOUT / 2)
        flow.client.tick()
        flow.release()
        look()
      }
      flow.setTime((clock as ManualClock).now() + TIMEOUT)
      flow.client.tick()
      flow.finish([() => undefined, () => undefined])
      flow.release()
      await turn()
      for (const task of kept) {
        const { error, timesSettled } = flow.outcomes.get(task)!
        if (error !== undefined) codes.add((error as { readonly code: string }).code)
        expect(timesSettled).toBe(1)
      }
      expect(flow.leftovers()).toEqual({})
      flow.close()
    }),
    { numRuns: 25, seed: 7 },
  )
  expect(codes).toEqual(
    new Set(['AQ_OUT_OF_MEMORY', 'AQ_PAYLOAD_TOO_LARGE', 'AQ_QUEUE_FULL', 'AQ_TIMEOUT']),
  )
})
