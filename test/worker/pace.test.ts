import { afterEach, beforeEach, expect, test } from 'vitest'
import { recoverWorker } from '../../src/runtime/recovery.ts'
import type { ManualClock } from '../../src/transport/clock.ts'
import type { Control } from '../../src/transport/control.ts'
import type { Claim } from '../../src/worker/batcher.ts'
import { Pace, Turns } from '../../src/worker/pace.ts'
import { SmallFlow, SmallWorker } from '../support/small-flow.ts'

const WORKER = 1

let flow: SmallFlow
let control: Control

beforeEach(() => {
  flow = new SmallFlow()
  control = flow.attach(WORKER)
})

afterEach(() => {
  flow.close()
})

const now = (): number => (flow.control.clock as ManualClock).now()

/** Tasks of a batch that was claimed; of priority 0, as all slots here are. */
const claims = (count: number): Claim[] =>
  Array.from({ length: count }, (_, slot) => ({
    slot,
    generation: 0,
    claimedAt: now(),
    bytes: 0,
  }))

/** A loop has batches of so many tasks, each of which takes so long. */
function work(turns: Turns, tasks: number, ms: number, batches: number): void {
  for (let batch = 0; batch < batches; batch++) {
    turns.begin(claims(tasks), now(), now())
    flow.setTime(now() + ms)
  }
}

/** What others see of it. */
const seen = (): [taskMs: number, batchMs: number] => [
  flow.control.paces.taskMs(WORKER, now()),
  flow.control.paces.batchMs(WORKER),
]

test('nothing is said of a pace before three batches and a tenth of a second of work', () => {
  const slow = new Turns(new Pace(control, 1, 1))
  work(slow, 1, 5_000, 3) // the third is not over
  expect(seen()).toEqual([0, 0])
  slow.rest(now())
  expect(seen()).toEqual([5_000, 5_000])
  const fast = new Turns(new Pace(control, 1, 1))
  expect(seen()).toEqual([0, 0]) // another worker in its place
  work(fast, 1, 1, 100)
  expect(seen()).toEqual([0, 0])
  work(fast, 1, 1, 1)
  expect(seen()[0]).toBeCloseTo(1)
})

test('a task takes what the worker needs until it turns to the next, hand-over included', () => {
  const turns = new Turns(new Pace(control, 1, 1))
  work(turns, 1, 40, 10)
  const [taskMs, batchMs] = seen()
  expect(taskMs).toBeCloseTo(40)
  expect(batchMs).toBeCloseTo(40)
})

test('the pace is the mean of what is remembered, and follows a change', () => {
  const turns = new Turns(new Pace(control, 1, 1))
  for (let round = 0; round < 100; round++) {
    work(turns, 1, 1, 9)
    work(turns, 1, 11, 1)
  }
  expect(seen()[0]).toBeCloseTo(2, 0) // the mean of nine times 1 and once 11
  work(turns, 1, 20, 50)
  expect(seen()[0]).toBeGreaterThan(15) // after a second
  work(turns, 1, 2, 500)
  expect(seen()[0]).toBeLessThan(2.5)
})

test('one hiccup among many short batches changes little', () => {
  const turns = new Turns(new Pace(control, 1, 1))
  work(turns, 1, 0.01, 20_000)
  work(turns, 1, 10, 1)
  work(turns, 1, 0.01, 1)
  expect(seen()[0]).toBeLessThan(0.02)
})

test('from batches that are not full the most is concluded that full ones may do', () => {
  const turns = new Turns(new Pace(control, 16, 1))
  work(turns, 1, 20, 20) // alone a task takes 20 ms: with others perhaps no longer
  expect(seen()[0]).toBeCloseTo(20 / 16)
  work(turns, 16, 32, 20) // full batches say it
  expect(seen()[0]).toBeCloseTo(2, 1)
  work(turns, 8, 24, 20) // 3 ms for each of 8 is no reason to think otherwise
  expect(seen()[0]).toBeCloseTo(2, 1)
  work(turns, 8, 8, 200) // 1 ms for each of 8 is
  expect(seen()[0]).toBeCloseTo(1, 1)
})

test('batches that are handled at once share the time', () => {
  const pace = new Pace(control, 1, 4)
  const loops = Array.from({ length: 4 }, () => new Turns(pace))
  for (let round = 0; round < 10; round++) {
    for (const loop of loops) loop.begin(claims(1), now(), now())
    flow.setTime(now() + 40)
  }
  expect(seen()[0]).toBeCloseTo(10)
  expect(seen()[1]).toBeCloseTo(40)
  expect(flow.control.paces.places(WORKER)).toBe(4)
})

test('a second of rest has all forgotten, less has not', () => {
  const pace = new Pace(control, 1, 1)
  const turns = new Turns(pace)
  work(turns, 1, 200, 5)
  turns.rest(now())
  flow.setTime(now() + 999)
  expect(seen()[0]).toBeCloseTo(200)
  expect(pace.quickest(now())).toBeGreaterThan(0)
  flow.setTime(now() + 1)
  expect(seen()[0]).toBe(0)
  expect(pace.quickest(now())).toBe(0)
  work(turns, 1, 10, 11)
  expect(seen()[0]).toBeCloseTo(10) // nothing is left of the 200
})

test('the time in which a loop has nothing to do is not the time of a batch', () => {
  const turns = new Turns(new Pace(control, 1, 1))
  for (let round = 0; round < 12; round++) {
    work(turns, 1, 10, 1)
    turns.rest(now())
    flow.setTime(now() + 500)
  }
  expect(seen()[0]).toBeCloseTo(10)
})

test('of a worker that has gone nothing is left', () => {
  const turns = new Turns(new Pace(control, 1, 1))
  work(turns, 1, 200, 5)
  expect(flow.control.paces.places(WORKER)).toBe(1)
  recoverWorker(flow.control, 0, 0, { death: 0, retries: 0, suspects: 'task' })
  expect(seen()).toEqual([0, 0])
  expect(flow.control.paces.places(WORKER)).toBe(0)
  expect(flow.control.paces.tasks(WORKER, 0)).toBe(0)
})

test('a task is given up that no recent batch would have finished in time, while others can be', () => {
  const pace = new Pace(control, 1, 1)
  const turns = new Turns(pace)
  work(turns, 1, 50, 100)
  const quickest = pace.quickest(now())
  expect(quickest).toBeGreaterThan(45)
  expect(quickest).toBeLessThanOrEqual(50)
  work(turns, 1, 5, 1)
  turns.rest(now())
  expect(pace.quickest(now())).toBe(5) // now it has been seen that it may take less
  const worker = new SmallWorker(flow, 0, 0, { batchSize: 1, quickest })
  const doomed = flow.submit({}, 40)
  const last = flow.submit({}, 40)
  worker.turn(() => undefined) // the one that cannot make it is passed over, the last one tried: it may make it
  flow.client.tick()
  expect(flow.outcomes.get(doomed)!.timesSettled).toBe(1)
  expect(flow.client.tally()).toMatchObject({ timedOut: 1, pending: 1 })
  expect(flow.outcomes.get(last)!.timesSettled).toBe(0)
  new SmallWorker(flow, 1, 0).turn(() => undefined)
  flow.client.tick()
  expect(flow.isCompleted(last)).toBe(true)
  expect(flow.leftovers()).toEqual({})
})
