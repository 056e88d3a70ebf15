import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { PAGE_BYTES } from '../../src/memory/geometry.ts'
import { SmallFlow, SmallWorker } from '../support/small-flow.ts'

const LOW = 0
const MIDDLE = 1
const HIGH = 2
const SLOTS = 4

/** Admission may take 48 of the flow's 64 pages. */
class PagesTask {
  readonly image: Uint8Array
  constructor(pages: number) {
    this.image = new Uint8Array(pages * PAGE_BYTES)
  }
}

describe('tasks that wait to be admitted', () => {
  let flow: SmallFlow
  /** Priorities of the tasks that got a slot, in order. */
  let order: number[]
  let first: SmallWorker
  let second: SmallWorker

  beforeEach(() => {
    flow = new SmallFlow()
    order = []
    first = new SmallWorker(flow, 0, 0, { batchSize: 1 })
    second = new SmallWorker(flow, 1, 0, { batchSize: 1 })
  })

  afterEach(() => {
    flow.close()
  })

  /** A task whose fields are read when it gets its slot. */
  const noted = (priority: number): object => ({
    get field() {
      order.push(priority)
      return 0
    },
    set field(_: number) {},
  })

  /** `later` is how many milliseconds after the flow's birth it comes. */
  function submit(priority: number, later: number, task = noted(priority)): void {
    flow.setTime(later)
    flow.submit(task, Infinity, undefined, priority)
  }

  /** All tasks go through, whatever they waited for. */
  function finishAll(): void {
    for (let left = flow.client.pending; left > 0; left--) finishOne()
    expect(flow.leftovers()).toStrictEqual({})
  }

  /** One task goes through both steps: a slot, and its memory, come back. */
  function finishOne(): void {
    first.turn(() => undefined)
    second.turn(() => undefined)
    flow.client.tick()
    flow.release()
    flow.client.tick()
  }

  test('for a slot get it by turns: the first of the highest priority, and the one that has come first', () => {
    for (let slot = 0; slot < SLOTS; slot++) submit(LOW, 0)
    for (const later of [1, 2, 3]) submit(LOW, later)
    submit(MIDDLE, 1_100)
    for (const later of [5_000, 5_001, 5_002]) submit(HIGH, later)
    for (let left = 7; left > 0; left--) finishOne()
    expect(order.slice(SLOTS)).toStrictEqual([HIGH, LOW, HIGH, LOW, HIGH, LOW, MIDDLE])
    finishAll()
  })

  test('for a slot get it after those of a higher priority that came within its head start', () => {
    for (let slot = 0; slot < SLOTS; slot++) submit(LOW, 0)
    submit(LOW, 1)
    for (const later of [1_999, 2_000, 2_001, 2_002]) submit(HIGH, later)
    for (let left = 5; left > 0; left--) finishOne()
    expect(order.slice(SLOTS)).toStrictEqual([HIGH, HIGH, HIGH, LOW, HIGH])
    finishAll()
  })

  test('for memory are passed once by a higher priority that finds some, not for ever', () => {
    submit(LOW, 0, new PagesTask(40))
    submit(LOW, 1, new PagesTask(20))
    expect(flow.admitted()).toStrictEqual([1, 0, 0])
    submit(HIGH, 5_000, new PagesTask(1))
    expect(flow.admitted()).toStrictEqual([1, 0, 1])
    submit(HIGH, 5_001, new PagesTask(1))
    submit(MIDDLE, 5_002, new PagesTask(1))
    expect(flow.admitted()).toStrictEqual([1, 0, 1])
    finishOne() // the one of high priority
    expect(flow.admitted()).toStrictEqual([1, 0, 0])
    finishOne()
    expect(flow.admitted()).toStrictEqual([1, 1, 1])
    finishAll()
  })

  test('for memory are passed by all that count as having come before', () => {
    submit(LOW, 0, new PagesTask(40))
    submit(LOW, 1, new PagesTask(20))
    for (const later of [1_000, 1_500]) submit(HIGH, later, new PagesTask(1))
    expect(flow.admitted()).toStrictEqual([1, 0, 2])
    submit(MIDDLE, 1_600, new PagesTask(1)) // its turn by priority
    expect(flow.admitted()).toStrictEqual([1, 1, 2])
    finishOne()
    submit(MIDDLE, 1_600, new PagesTask(1)) // by age the large one is first
    expect(flow.admitted()).toStrictEqual([1, 1, 1])
    finishAll()
  })
})
