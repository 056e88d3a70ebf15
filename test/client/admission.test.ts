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

  test('and are cancelled by a field of their own are settled once, and wait no more', async () => {
    submit(LOW, 0, new PagesTask(40))
    const controller = new AbortController()
    const task = {}
    Object.defineProperties(task, {
      field: { enumerable: true, get: () => controller.abort() },
      image: { enumerable: true, value: new Uint8Array(20 * PAGE_BYTES) },
    })
    flow.submit(task, Infinity, controller.signal, LOW)
    await Promise.resolve()
    expect(flow.outcomes.get(task)!.error).toMatchObject({ code: 'AQ_CANCELLED' })
    flow.client.failAll()
    expect(flow.client.tally()).toMatchObject({ admitted: 2, cancelled: 1, failed: 1, pending: 0 })
    first.turn(() => undefined)
    flow.client.tick()
    expect(flow.leftovers()).toStrictEqual({})
  })

  test('are not handled when a field of their own has cancelled them', async () => {
    const controller = new AbortController()
    const task = {
      get field() {
        controller.abort()
        return 0
      },
    }
    flow.submit(task, Infinity, controller.signal, LOW)
    await Promise.resolve()
    expect(flow.outcomes.get(task)!.error).toMatchObject({ code: 'AQ_CANCELLED' })
    expect(flow.admitted()).toStrictEqual([0, 0, 0])
    finishAll()
  })

  test('and are cancelled by a field that cannot be read have one outcome', async () => {
    const controller = new AbortController()
    const task = {
      get field(): never {
        controller.abort()
        throw new RangeError('not now')
      },
    }
    flow.submit(task, Infinity, controller.signal, LOW)
    await Promise.resolve()
    expect(flow.outcomes.get(task)!.timesSettled).toBe(1)
    expect(flow.client.tally()).toMatchObject({ admitted: 1, cancelled: 1, failed: 0, pending: 0 })
    finishAll()
  })

  test('and whose field sends another task keep their memory; the other one is refused', async () => {
    let other: object = {}
    const task = {
      image: new Uint8Array(2 * PAGE_BYTES).fill(7),
      get field() {
        other = flow.submit({ image: new Uint8Array(PAGE_BYTES) })
        return 0
      },
      set field(_: number) {},
    }
    flow.submit(task)
    await Promise.resolve()
    expect(flow.outcomes.get(other)!.error).toMatchObject({ code: 'AQ_UNSERIALIZABLE' })
    let seen: unknown
    first.turn(([received]) => {
      seen = Array.from((received!['image'] as Uint8Array).subarray(0, 3))
    })
    expect(seen).toEqual([7, 7, 7])
    second.turn(() => undefined)
    flow.client.tick()
    expect(flow.isCompleted(task)).toBe(true)
  })
})
