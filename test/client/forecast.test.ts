import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { QueueFullError } from '../../src/index.ts'
import { ClientRecovery } from '../../src/runtime/client-recovery.ts'
import type { ManualClock } from '../../src/transport/clock.ts'
import { turn } from '../support/flow.ts'
import type { SmallClient } from '../support/small-client.ts'
import { SmallFlow, SmallWorker } from '../support/small-flow.ts'

const LOW = 0
const HIGH = 2
const CLIENTS = 3

let flow: SmallFlow
/** Actors: the clients, then two places for workers of the first step, and one of the second. */
const [first, second, next] = [CLIENTS, CLIENTS + 1, CLIENTS + 2]

beforeEach(() => {
  flow = new SmallFlow(undefined, CLIENTS)
})

afterEach(() => {
  flow.close()
})

/** A worker is there that says this of itself. */
function worker(actor: number, taskMs: number, places = 1, batchMs = taskMs * places): void {
  flow.control.paces.join(actor, places)
  flow.control.paces.tell(actor, taskMs, batchMs)
}

const wait = (ms: number): void => flow.setTime((flow.control.clock as ManualClock).now() + ms)

/** The clock moves on, so that the next forecast looks anew; whether the task is let in, or with what it is refused. */
async function give(
  timeout: number,
  { by = flow, priority = LOW }: { readonly by?: SmallClient; readonly priority?: number } = {},
): Promise<QueueFullError | undefined> {
  wait(5)
  const task = by.submit({}, timeout, undefined, priority)
  await turn()
  return by.outcomes.get(task)!.error as QueueFullError | undefined
}

/** A worker has taken so many tasks of these priorities. */
function taken(counts: Readonly<Record<number, number>>): void {
  for (const [priority, count] of Object.entries(counts))
    flow.control.paces.addTasks(first, Number(priority), count)
}

/** So many tasks wait. */
async function fill(count: number, options?: Parameters<typeof give>[1]): Promise<void> {
  for (let task = 0; task < count; task++) expect(await give(Infinity, options)).toBeUndefined()
}

describe('a task is refused at once', () => {
  test('when those before it, and its own batch, take longer than it has', async () => {
    worker(first, 100)
    await fill(9)
    expect(await give(1_200)).toBeUndefined() // 9 before it and itself: 1,000 ms of 1,080
    const error = await give(1_200)
    expect(error).toMatchObject({ code: 'AQ_QUEUE_FULL', expected: 1_100, retryAfter: 20 })
    expect(error!.message).toBe(
      'with those before it the task would take 1100 ms, and it has 1200 ms; try again in 20 ms',
    )
    expect(flow.client.tally()).toMatchObject({ admitted: 10, pending: 10, rejected: 1 })
    expect(await give(Infinity)).toBeUndefined()
  })

  test('and after `retryAfter` it is let in, if the work goes on as foreseen', async () => {
    worker(first, 100)
    await fill(12)
    const { retryAfter } = (await give(1_000))!
    expect(retryAfter).toBe(400)
    const hands = new SmallWorker(flow, 0, 0, { batchSize: 1 })
    const rest = new SmallWorker(flow, 1, 0, { batchSize: 1 })
    for (let done = 0; done < 4; done++) {
      expect(await give(1_000)).toMatchObject({ code: 'AQ_QUEUE_FULL' })
      hands.turn(() => undefined)
      rest.turn(() => undefined)
      flow.client.tick()
      wait(100)
    }
    expect(await give(1_000)).toBeUndefined()
  })

  test('by the time of all the workers of the step that live', async () => {
    worker(first, 100)
    await fill(15)
    expect(await give(1_200)).toBeDefined()
    worker(second, 0) // it has done nothing yet: it is taken to be like the other
    expect(await give(1_200)).toBeUndefined()
    worker(second, 300) // 1 / (1/100 + 1/300) = 75 ms per task
    expect(await give(1_500)).toMatchObject({ expected: 16 * 75 + 200 })
    expect(await give(1_600)).toBeUndefined()
    flow.recover(0, 1) // it has died
    expect(await give(1_600)).toMatchObject({ expected: 17 * 100 + 100 })
  })

  test('by all the steps before it', async () => {
    worker(first, 10)
    worker(next, 100)
    const hands = new SmallWorker(flow, 0, 0, { batchSize: 1 })
    for (let task = 0; task < 4; task++) {
      await fill(1)
      hands.turn(() => undefined) // it waits for the second step now
    }
    expect(await give(520)).toMatchObject({ expected: 4 * 100 + 10 + 100 })
    expect(await give(600)).toBeUndefined()
  })

  test('also when what comes together would be too much', async () => {
    worker(first, 100)
    await fill(2)
    const tasks = Array.from({ length: 20 }, () => flow.submit({}, 1_000))
    await turn()
    const refused = tasks.filter((task) => flow.outcomes.get(task)!.error !== undefined)
    expect(refused).toHaveLength(13) // 2 + 6 before the last that is let in: 800 ms, and 100 of its own
    expect(refused).toEqual(tasks.slice(7))
  })
})

describe('a task is let in', () => {
  test('while nothing is known of the workers', async () => {
    await fill(20)
    expect(await give(1)).toBeUndefined()
    worker(first, 0)
    expect(await give(1)).toBeUndefined()
  })

  test('whatever its workers have said, while no more wait than they take at once', async () => {
    worker(first, 60_000, 3)
    for (let task = 0; task < 4; task++) expect(await give(100)).toBeUndefined()
    expect(await give(100)).toBeDefined()
  })

  test('when what was slow once has had a rest of a second', async () => {
    worker(first, 10_000)
    await fill(4)
    expect(await give(100)).toBeDefined()
    flow.control.paces.setIdle(first, (flow.control.clock as ManualClock).now())
    wait(994)
    expect(await give(100)).toBeDefined() // after 999 ms
    expect(await give(100)).toBeUndefined()
  })

  test('when those before it were withdrawn', async () => {
    worker(first, 100)
    const gone = new AbortController()
    for (let task = 0; task < 4; task++) {
      wait(1)
      flow.submit({}, Infinity, gone.signal)
    }
    expect(await give(200)).toBeDefined()
    gone.abort()
    expect(await give(200)).toBeUndefined()
  })

  test('without a deadline, however many wait', async () => {
    worker(first, 10_000)
    await fill(50)
    expect(flow.client.tally()).toMatchObject({ admitted: 50, rejected: 0 })
  })

  test('when its flow says that it is not to be refused', async () => {
    Object.assign(flow.shape, { refuseLate: false })
    try {
      worker(first, 10_000)
      await fill(10)
      expect(await give(100)).toBeUndefined()
    } finally {
      Object.assign(flow.shape, { refuseLate: true })
    }
  })
})

describe('with several clients', () => {
  test('what others have in the queue counts, and of what waits at them as much as waits here', async () => {
    worker(first, 100)
    const guest = flow.join(1)
    await fill(4, { by: guest }) // all the queue takes
    expect(await give(550)).toMatchObject({ expected: 500 })
    await fill(20, { by: guest }) // these wait at the guest, and find room by turns with ours
    expect(await give(650)).toMatchObject({ expected: 600 })
    await fill(3)
    expect(await give(1_300)).toMatchObject({ expected: (4 + 3 + 4) * 100 + 100 })
    // The guest sees four in the queue, its own twenty, and our three.
    expect(await give(2_800, { by: guest })).toMatchObject({ expected: (4 + 20 + 3) * 100 + 100 })
    guest.client.failAll()
    expect(await give(1_300)).toBeUndefined()
    guest.close()
  })

  test('what waited at one that has died counts no more', async () => {
    worker(first, 100)
    const guest = flow.join(1)
    await fill(3)
    await fill(20, { by: guest })
    expect(await give(480)).toMatchObject({ expected: 4 * 100 + 100 + 100 })
    guest.close() // killed: it has told nobody
    expect(await give(480)).toBeDefined()
    expect(new ClientRecovery(flow.control, 1).look()).toBe(true)
    expect(await give(480)).toBeUndefined()
  })
})

describe('with several priorities', () => {
  test('what is lower does not count, what is higher does: the low ones are refused first', async () => {
    worker(first, 100)
    await fill(4, { priority: LOW })
    expect(await give(400, { priority: HIGH })).toBeUndefined()
    expect(await give(400, { priority: LOW })).toMatchObject({ expected: 600 })
    await fill(2, { priority: HIGH })
    expect(await give(440, { priority: HIGH })).toMatchObject({ expected: 400 })
    expect(await give(880, { priority: LOW })).toMatchObject({ expected: 800 })
  })

  test('what is lower has the rest of the time that what is higher leaves', async () => {
    worker(first, 10)
    await fill(4, { priority: LOW })
    expect(await give(100, { priority: LOW })).toBeUndefined()
    taken({ [LOW]: 20, [HIGH]: 80 })
    wait(5)
    expect(await give(100, { priority: LOW })).toMatchObject({
      expected: expect.closeTo(5 * 50 + 10),
    })
    expect(await give(100, { priority: HIGH })).toBeUndefined()
  })

  test('by the rule of ageing it comes to its turn all the same, and is let in if it has the time', async () => {
    worker(first, 10)
    await fill(4, { priority: HIGH })
    await fill(4, { priority: LOW })
    taken({ [HIGH]: 100 })
    wait(5)
    // 4 before it and those of its head start of 2 s, then every other turn.
    expect(await give(2_000, { priority: LOW })).toMatchObject({
      expected: (4 + 2 * 4) * 10 + 2_000 + 10,
    })
    expect(await give(2_500, { priority: LOW })).toBeUndefined()
  })

  test('what is lower and has aged shares the turns of what is higher', async () => {
    worker(first, 300)
    await fill(4, { priority: LOW }) // in line for 1.2 s, more than the head start of 1 s
    await fill(2, { priority: HIGH })
    expect(await give(1_400, { priority: HIGH })).toMatchObject({ expected: (2 + 2) * 300 + 300 })
  })
})
