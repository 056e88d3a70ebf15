import { afterAll, expect, test } from 'vitest'
import { libc } from '../../src/memory/libc.ts'
import { createBell } from '../../src/transport/bells.ts'
import type { Control } from '../../src/transport/control.ts'
import { FREE, stateOf, stateWord } from '../../src/transport/task-table.ts'
import { Batcher } from '../../src/worker/batcher.ts'
import { preemptTwiceFromNowOn } from '../support/atomics.ts'
import { turn } from '../support/flow.ts'
import { SmallFlow } from '../support/small-flow.ts'

const GUEST = 1
const SLOW = 2
const FAST = 3
const QUEUE_SIZE = 4
/** The guest's second slot. */
const SECOND = 5

const bells = Array.from({ length: 6 }, () => createBell())
afterAll(() => {
  for (const { read, write } of bells) for (const end of [read, write]) libc().close(end)
})

/**
 * A client that has looked for completions goes to sleep while a task of its own waits for room. `first` and `second` say
 * when two workers come by: the one tells, late, of room that others have taken since; the other makes room.
 */
async function sleepBetween(first: number, second: number) {
  const flow = new SmallFlow(bells, 2)
  const guest = flow.join(GUEST, libc().dup(bells[GUEST]!.read))
  const [slow, fast] = [flow.attach(SLOW), flow.attach(FAST)]
  guest.submit({ number: 0 })
  slow.queues[0]!.claim(SLOW)
  for (let number = 1; number <= QUEUE_SIZE; number++) flow.submit({ number })
  guest.submit({ number: 10 })
  const makeRoom = (): void => {
    while (fast.queues[0]!.claim(FAST) >= 0);
    fast.wakeRoomWaiters(0)
  }
  const watch = preemptTwiceFromNowOn([first, () => slow.wakeRoomWaiters(0)], [second, makeRoom])
  await turn()
  const haveCome = watch.stop()
  if (!haveCome) makeRoom()
  for (let turns = 0; turns < 6; turns++) await turn()
  const isAdmitted = stateOf(flow.control.tasks.word(SECOND)) !== FREE
  for (const { client } of [flow, guest]) client.failAll()
  for (const client of [flow, guest]) client.close()
  return { haveCome, isAdmitted }
}

test('a client that goes to sleep is told of room, though somebody tells late of other room', async () => {
  const unheard: string[] = []
  let first = 1
  for (let haveCome = true; haveCome; first++) {
    for (let second = first; second < first + 32; second++) {
      const seen = await sleepBetween(first, second)
      if (!seen.isAdmitted) unheard.push(`${first}, ${second}`)
      if (second === first) ({ haveCome } = seen)
    }
  }
  expect(unheard).toEqual([])
  expect(first).toBeGreaterThan(20)
})

const batcherOf = (worker: Control): Batcher =>
  new Batcher(worker, {
    step: 0,
    batchSize: 1,
    batchTimeout: 0,
    sleep: () => Promise.resolve(),
    quickest: () => 0,
    expire: () => undefined,
  })

test('clients find room by turns, however many tasks one of them has', () => {
  const flow = new SmallFlow(bells, 3)
  const others = [1, 2].map((number) => flow.join(number, libc().dup(bells[number]!.read)))
  const clients = [flow, ...others]
  const batcher = batcherOf(flow.attach(FAST))
  const queue = flow.control.queues[0]!
  for (const client of clients) client.submit({ number: 0 })
  flow.submit({ number: 1 })
  expect(queue.waiting(0)).toBe(QUEUE_SIZE)
  for (const client of clients) for (const number of [2, 3]) client.submit({ number })
  // As each place comes, all look for it, those first that are awake: the flow's own client, and the second guest.
  const found: number[] = []
  for (let place = 0; place < 6; place++) {
    batcher.claim([], 1)
    for (const index of [0, 2, 1]) {
      const before = queue.waiting(0)
      clients[index]!.client.tick()
      if (queue.waiting(0) > before) found.push(index)
    }
  }
  expect(found).toEqual([1, 2, 0, 1, 2, 0])
  for (const { client } of clients) client.failAll()
  for (const client of clients) client.close()
})

test('a worker that finds nothing but cells of withdrawn tasks tells those who wait for the room that they took', () => {
  const flow = new SmallFlow(bells, 2)
  const { tasks, queues } = flow.control
  const worker = flow.attach(FAST)
  const queue = queues[0]!
  // Handed over to this step, but withdrawn before its cell was there: nobody is told of room then.
  tasks.describe(SECOND, 0, 0, 0, Infinity)
  tasks.set(SECOND, stateWord(FREE, GUEST, 1))
  queue.push(SECOND, 1, 0)
  queue.waitForRoom(GUEST)
  expect(batcherOf(worker).claim([], 1)).toEqual([])
  expect(queue.hasRoomWaiters()).toBe(false)
  flow.close()
})
