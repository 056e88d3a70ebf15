import { describe, expect, test } from 'vitest'
import { Flow, FlowClient, FlowStep, QueueFullError } from '../../src/index.ts'
import { toHttpError } from '../../src/integrations/http.ts'
import { SlowHandler, SlowTask } from '../fixtures/slow.ts'
import { newAddress, silent } from '../support/clients.ts'
import { describeIsolations, started } from '../support/flow.ts'

const TASK_MS = 40
const TIMEOUT = 1_000

type Caller = Pick<Flow<SlowTask>, 'process'>

/** The flow's worker has shown what a task takes. */
async function warm(caller: Caller): Promise<void> {
  for (let task = 0; task < 4; task++) await caller.process(new SlowTask(TASK_MS))
}

interface Flood {
  readonly done: number
  readonly refused: readonly QueueFullError[]
  readonly timedOut: number
}

/** Far more tasks at once than can be done in time. */
async function flood(caller: Caller, timeout = TIMEOUT): Promise<Flood> {
  const outcomes = await Promise.allSettled(
    Array.from({ length: 200 }, () => caller.process(new SlowTask(TASK_MS), { timeout })),
  )
  const errors = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason as Error] : [],
  )
  const refused = errors.filter((error) => error instanceof QueueFullError)
  return { done: 200 - errors.length, refused, timedOut: errors.length - refused.length }
}

describeIsolations('a flood of tasks with a deadline', (isolation) => {
  describe.each([true, false])('metrics: %s', (metrics) => {
    test('is let in as far as it can be done, the rest is refused at once', async () => {
      await using flow = await started(
        new Flow([new FlowStep(SlowHandler, { isolation })], { metrics }),
      )
      await warm(flow)
      const { done, refused } = await flood(flow)
      expect(done).toBeGreaterThan(0)
      expect(refused.length).toBeGreaterThan(200 - TIMEOUT / TASK_MS)
      for (const { code, expected, retryAfter } of refused) {
        expect(code).toBe('AQ_QUEUE_FULL')
        expect(expected).toBeGreaterThan(0.9 * TIMEOUT)
        expect(retryAfter).toBeCloseTo(expected! - 0.9 * TIMEOUT, -1)
      }
      expect(flow.stats().tasks).toMatchObject({ rejected: refused.length, pending: 0 })
      expect(toHttpError(refused[0])).toMatchObject({ status: 503, code: 'AQ_QUEUE_FULL' })
      // What is refused has not been waited for: the flow is free for what comes next.
      expect((await flow.process(new SlowTask(1), { timeout: TIMEOUT })).isDone).toBe(true)
    })
  })

  test('waits and times out where the flow says so', async () => {
    await using flow = await started(
      new Flow([new FlowStep(SlowHandler, { isolation })], { refuseLate: false }),
    )
    await warm(flow)
    const { refused, timedOut } = await flood(flow)
    expect(refused).toEqual([])
    expect(timedOut).toBeGreaterThan(200 - TIMEOUT / TASK_MS - 1)
  })
})

test('a client in another process is told by the same figures', async () => {
  const address = newAddress()
  await using flow = await started(new Flow([new FlowStep(SlowHandler)], { address }))
  await using client = new FlowClient({ address, task: SlowTask, logger: silent })
  await client.start()
  await warm(flow) // not its own doing
  const { done, refused } = await flood(client)
  expect(done).toBeGreaterThan(0)
  expect(refused.length).toBeGreaterThan(200 - TIMEOUT / TASK_MS)
  expect(client.stats().tasks).toMatchObject({ rejected: refused.length })
})
