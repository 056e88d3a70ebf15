import fc from 'fast-check'
import { afterEach, expect, test, vi } from 'vitest'
import type { Tally } from '../../src/client/client.ts'
import { Flow, FlowClient, FlowStep } from '../../src/index.ts'
import { Counters } from '../../src/metrics/counters.ts'
import { type TaskCounts, readTaskCounts } from '../../src/task-counts.ts'
import { First, PickyTask } from '../fixtures/conditions.ts'
import { PictureHandler } from '../fixtures/pictures.ts'
import { diesAt } from '../support/atomics.ts'
import { newAddress, programAt, silent } from '../support/clients.ts'
import { started, turn } from '../support/flow.ts'
import { SmallFlow, SmallWorker } from '../support/small-flow.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

const ended = ({ completed, failed, timedOut, cancelled }: TaskCounts): number =>
  completed + failed + timedOut + cancelled

function expectBalanced(books: Tally | TaskCounts): void {
  expect(books.pending).toBeGreaterThanOrEqual(0)
  expect(ended(books) + books.pending).toBe(books.admitted)
}

const worker = fc.constantFrom<readonly [number, number]>([0, 0], [0, 1], [1, 0])
const events = fc.array(
  fc.oneof(
    fc.record({ name: fc.constant('submit' as const), timeout: fc.constantFrom(Infinity, 15) }),
    fc.record({ name: fc.constant('turn' as const), worker, throws: fc.boolean() }),
    fc.record({
      name: fc.constant('death' as const),
      worker,
      step: fc.integer({ min: 1, max: 150 }),
    }),
    fc.record({ name: fc.constant('cancel' as const), which: fc.nat() }),
    fc.record({ name: fc.constant('time' as const), by: fc.nat(10) }),
    fc.record({ name: fc.constant('tick' as const) }),
    fc.record({ name: fc.constant('stop' as const) }),
  ),
  { maxLength: 60 },
)

test('whatever happens, the books balance after each event, and tell what has happened', async () => {
  const property = fc.asyncProperty(events, async (script) => {
    const flow = new SmallFlow()
    const callers: AbortController[] = []
    let now = 0
    for (const event of script) {
      const before = flow.client.tally()
      if (event.name === 'submit') {
        const caller = new AbortController()
        callers.push(caller)
        flow.submit({ number: callers.length }, event.timeout, caller.signal)
      } else if (event.name === 'turn') {
        new SmallWorker(flow, ...event.worker).turn(() => {
          if (event.throws) throw new Error('no')
        })
      } else if (event.name === 'death') {
        diesAt(event.step, () => new SmallWorker(flow, ...event.worker).turn(() => undefined))
        flow.recover(...event.worker)
      } else if (event.name === 'cancel') callers[event.which % callers.length]?.abort()
      else if (event.name === 'time') flow.setTime((now += event.by))
      else if (event.name === 'tick') flow.client.tick()
      else flow.client.failAll()
      const after = flow.client.tally()
      expectBalanced(after)
      expect(after.admitted).toBe(callers.length)
      expect(readTaskCounts(flow.control)).toEqual(after)
      const settled = [...flow.outcomes.values()].filter(({ timesSettled }) => timesSettled === 1)
      expect(ended(after)).toBe(settled.length)
      for (const name of ['completed', 'failed', 'timedOut', 'cancelled'] as const)
        expect(after[name]).toBeGreaterThanOrEqual(before[name])
    }
    flow.client.failAll()
    flow.close()
    await turn()
  })
  await fc.assert(property, { numRuns: 200 })
})

test('tasks that come and go while the books are read are never more than were admitted', () => {
  const flow = new SmallFlow()
  const { get: read } = Object.getOwnPropertyDescriptors(Counters.prototype)
  for (let moment = 0; moment < 7; moment++) {
    let reads = 0
    vi.spyOn(Counters.prototype, 'get').mockImplementation(function (this: Counters, index) {
      if (reads++ === moment) {
        const caller = new AbortController()
        flow.submit({ number: moment }, Infinity, caller.signal)
        caller.abort()
      }
      return read.value!.call(this, index)
    })
    const { pending } = readTaskCounts(flow.control)
    vi.restoreAllMocks()
    expect(pending).toBeGreaterThanOrEqual(0)
  }
  flow.close()
})

test('the books balance for the program that looks at them while it is asked whether a step wants its task', async () => {
  const address = newAddress()
  await using _ = await started(
    new Flow([new FlowStep(First, { handleCondition: 'wantsFirst', isolation: 'thread' })], {
      address,
    }),
  )
  await using client = new FlowClient({ address, task: PickyTask, logger: silent })
  await client.start()
  const seen: TaskCounts[] = []
  for (const fails of [false, true]) {
    const task = Object.assign(new PickyTask([]), {
      wantsFirst: () => {
        seen.push(client.stats().tasks)
        if (fails) throw new Error('no')
        return false
      },
    })
    await client.process(task).catch(() => undefined)
    seen.push(client.stats().tasks)
  }
  seen.forEach(expectBalanced)
  expect(seen.map((books) => [books.admitted, books.completed, books.failed])).toEqual([
    [0, 0, 0],
    [1, 1, 0],
    [1, 1, 0],
    [2, 1, 1],
  ])
})

test('the books of a client in another process can be read at any moment of a storm', async () => {
  const address = newAddress()
  const step = new FlowStep(PictureHandler, { batchSize: 4 })
  await using flow = await started(
    new Flow([step], { address, maxPending: 32, logger: silent, memory: 1 << 23 }),
  )
  await using client = await programAt(address)
  client.tell('load 16 ruthless')
  let before = flow.stats().tasks
  const wrong: object[] = []
  while (before.completed < 300) {
    const books = flow.stats().tasks
    const names = ['admitted', 'completed', 'failed', 'timedOut', 'cancelled'] as const
    const isForward = names.every((name) => books[name] >= before[name])
    // What is admitted and ends while this is read has been admitted already, and has not ended yet.
    const isPossible = books.pending >= 0 && books.pending <= 32 + books.admitted - before.admitted
    if (!isForward || !isPossible) wrong.push({ before, books })
    before = books
    await turn()
  }
  client.tell('enough')
  let last: { wrong?: string[] }
  do last = await client.message()
  while (last.wrong === undefined)
  expect(wrong).toEqual([])
  client.tell('stats')
  expect(await client.message()).toEqual(flow.stats().tasks)
  expect(flow.stats().tasks.pending).toBe(0)
  expectBalanced(flow.stats().tasks)
})
