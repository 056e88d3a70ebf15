import { describe, expect, test } from 'vitest'
import { diesAt, eachDeath, eachPreemption } from '../support/atomics.ts'
import { type Handle, SmallFlow, SmallWorker } from '../support/small-flow.ts'

/** A task with a payload in shared memory, all of its fields in step with each other. */
class Frame {
  number: number
  image: Uint8Array | undefined
  note = ''
  constructor(number: number) {
    this.number = number
    this.image = new Uint8Array(5000).fill(number)
  }
}

const add =
  (change: (task: Record<string, unknown>, number: number) => void): Handle =>
  (tasks) => {
    for (const task of tasks) {
      const number = (task['number'] as number) + 1
      task['number'] = number
      change(task, number)
    }
  }

/** What a step may do with the payload, and what the image must be after it. */
const handlers: Record<string, { handle: Handle; image: (before: number) => number }> = {
  'keeps its payload': { handle: add(() => undefined), image: (before) => before },
  'drops its payload': {
    handle: add((task) => {
      task['image'] = undefined
    }),
    image: () => -1,
  },
  'makes new payloads, and fields that lie in a block': {
    handle: add((task, number) => {
      task['image'] = new Uint8Array(6000).fill(number)
      task['mask'] = new Uint8Array(9000).fill(number)
      task['note'] = 'long'.repeat(1000)
    }),
    image: (before) => before + 1,
  },
}
const keep = handlers['keeps its payload']!.handle

function expectWhole(frame: Frame, number: number, image: number): void {
  expect(frame.number).toBe(number)
  const expected = image < 0 ? undefined : new Set([image])
  expect(frame.image === undefined ? undefined : new Set(frame.image)).toStrictEqual(expected)
}

function expectEmpty(flow: SmallFlow): void {
  flow.release()
  expect(flow.leftovers()).toStrictEqual({})
  flow.close()
}

const codeOf = (flow: SmallFlow, frame: Frame): unknown =>
  (flow.outcomes.get(frame)!.error as { code?: unknown } | undefined)?.code

/** The promise of a task is rejected in a later microtask. */
const settled = (): Promise<void> => Promise.resolve()

const once = { retries: 1 }

describe.each(Object.keys(handlers))('a worker whose handler %s dies at any step', (kind) => {
  const { handle, image } = handlers[kind]!

  test.each([0, 1])(
    'of its turn in step %i: every task is finished as if nothing had been',
    (at) => {
      const steps = eachDeath((die) => {
        const flow = new SmallFlow()
        const frames = [10, 20, 30].map((number) => flow.submit(new Frame(number)))
        if (at === 1) {
          const first = new SmallWorker(flow, 0, 0)
          first.turn(keep)
          first.turn(keep)
        }
        const worker = new SmallWorker(flow, at, 0)
        die(() => worker.turn(handle))
        flow.recover(at, 0, once)
        flow.finish(at === 0 ? [handle, keep] : [keep, handle])
        for (const [index, frame] of frames.entries()) {
          const number = 10 * (index + 1)
          expect(flow.isCompleted(frame)).toBe(true)
          const made = image(number) === number + 1 ? number + 1 + at : image(number)
          expectWhole(frame, number + 2, made)
        }
        expectEmpty(flow)
      })
      expect(steps).toBeGreaterThan(40)
    },
  )

  test('again and again: nothing is lost, nothing is settled twice, all memory comes back', () => {
    eachDeath((die, step) => {
      const flow = new SmallFlow()
      const frames = [10, 20, 30].map((number) => flow.submit(new Frame(number)))
      die(() => new SmallWorker(flow, 0, 0).turn(handle))
      flow.recover(0, 0, once)
      // One second death for each first: together they cover the turn.
      diesAt(1 + ((step * 7) % 90), () => new SmallWorker(flow, 0, 1).turn(handle))
      flow.recover(0, 1, once)
      flow.finish([handle, keep])
      for (const frame of frames) expect(flow.outcomes.get(frame)!.timesSettled).toBe(1)
      expectEmpty(flow)
    })
  })
})

describe('a batch whose worker dies', () => {
  test('is run again one by one, and only the task that is alone when the worker dies is convicted', async () => {
    const flow = new SmallFlow()
    const frames = [10, 20, 30].map((number) => flow.submit(new Frame(number)))
    new SmallWorker(flow, 0, 0, { batchSize: 3 }).begin()
    flow.recover(0, 0, once)
    const later = flow.submit(new Frame(40))
    const worker = new SmallWorker(flow, 0, 0, { batchSize: 3 })
    const alone = worker.begin()
    expect(alone.map(({ slot }) => slot)).toEqual([0])
    worker.complete(alone, keep)
    expect(worker.begin().map(({ slot }) => slot)).toEqual([1])
    flow.recover(0, 0, once) // dies with the second
    flow.finish([keep, keep])
    await settled()
    expect([...frames, later].map((frame) => flow.isCompleted(frame))).toEqual([
      true,
      false,
      true,
      true,
    ])
    expect(codeOf(flow, frames[1]!)).toBe('AQ_TASK_POISONED')
    expectEmpty(flow)
  })

  test('leaves no mark beyond its step: the next one takes its tasks in one batch', () => {
    const flow = new SmallFlow()
    flow.submit(new Frame(10))
    flow.submit(new Frame(20))
    new SmallWorker(flow, 0, 0).begin()
    flow.recover(0, 0, once)
    const first = new SmallWorker(flow, 0, 0)
    first.turn(keep)
    first.turn(keep)
    expect(new SmallWorker(flow, 1, 0).begin()).toHaveLength(2)
    flow.recover(1, 0, once)
    flow.finish([keep, keep])
    expectEmpty(flow)
  })

  test.each([
    [0, 1, 'AQ_WORKER_DIED'],
    [1, 2, 'AQ_TASK_POISONED'],
    [3, 4, 'AQ_TASK_POISONED'],
  ])('with retries: %i a task sees %i deaths at most', async (retries, deaths, code) => {
    const flow = new SmallFlow()
    const frame = flow.submit(new Frame(10))
    for (let death = 0; death < deaths; death++) {
      expect(new SmallWorker(flow, 0, 0).begin()).toHaveLength(1)
      flow.recover(0, 0, { retries })
    }
    flow.finish([keep, keep])
    await settled()
    expect(codeOf(flow, frame)).toBe(code)
    expectEmpty(flow)
  })

  test('that hung convicts the one that was alone at once, and none that was not', async () => {
    const flow = new SmallFlow()
    const [one, two] = [flow.submit(new Frame(10)), flow.submit(new Frame(20))]
    new SmallWorker(flow, 0, 0).begin()
    flow.recover(0, 0, { retries: 5, suspects: 'hang' })
    expect(new SmallWorker(flow, 0, 0).begin()).toHaveLength(1)
    flow.recover(0, 0, { retries: 5, suspects: 'hang' })
    flow.finish([keep, keep])
    await settled()
    expect(codeOf(flow, one)).toBe('AQ_TASK_POISONED')
    expect(flow.isCompleted(two)).toBe(true)
    expectEmpty(flow)
  })

  test('since the flow itself has ended it, is run again as it was', () => {
    const flow = new SmallFlow()
    flow.submit(new Frame(10))
    flow.submit(new Frame(20))
    for (let death = 0; death < 5; death++) {
      expect(new SmallWorker(flow, 0, 0).begin()).toHaveLength(2)
      flow.recover(0, 0, { retries: 1, suspects: 'nobody' })
    }
    flow.finish([keep, keep])
    expectEmpty(flow)
  })

  test('is settled where its deadline has passed or its caller has gone', async () => {
    const flow = new SmallFlow()
    const caller = new AbortController()
    const late = flow.submit(new Frame(10), 50)
    const gone = flow.submit(new Frame(20), Infinity, caller.signal)
    new SmallWorker(flow, 0, 0).begin()
    caller.abort()
    flow.setTime(60)
    flow.recover(0, 0, once)
    expect(new SmallWorker(flow, 0, 0).begin()).toHaveLength(0)
    flow.client.tick()
    await settled()
    expect(codeOf(flow, late)).toBe('AQ_TIMEOUT')
    expect(codeOf(flow, gone)).toBe('AQ_CANCELLED')
    expectEmpty(flow)
  })
})

describe('while a death is put right', () => {
  test('another worker may come by at any moment', () => {
    for (const { handle, image } of Object.values(handlers)) {
      eachPreemption((preempted) => {
        const flow = new SmallFlow()
        const frames = [10, 20, 30].map((number) => flow.submit(new Frame(number)))
        new SmallWorker(flow, 0, 0).begin()
        const other = new SmallWorker(flow, 0, 1)
        preempted(
          () => {
            other.turn(handle)
            other.turn(handle)
          },
          () => flow.recover(0, 0, once),
        )
        flow.finish([handle, keep])
        for (const [index, frame] of frames.entries()) {
          const number = 10 * (index + 1)
          expect(flow.isCompleted(frame)).toBe(true)
          expectWhole(frame, number + 2, image(number))
        }
        expectEmpty(flow)
      })
    }
  })

  test.each(['cancels', 'runs into its deadline'])(
    'the caller may go at any moment (it %s), and comes back with the next task',
    (end) => {
      eachPreemption((preempted) => {
        const flow = new SmallFlow()
        const caller = new AbortController()
        const gone = flow.submit(new Frame(10), 50, caller.signal)
        const stays = flow.submit(new Frame(20))
        new SmallWorker(flow, 0, 0).begin()
        const next: Frame[] = []
        preempted(
          () => {
            if (end === 'cancels') caller.abort()
            else {
              flow.setTime(60)
              flow.client.tick()
            }
            next.push(flow.submit(new Frame(30)))
          },
          () => flow.recover(0, 0, once),
        )
        // Nobody runs a task again that nobody waits for.
        const runs: unknown[] = []
        const note: Handle = (tasks) => {
          runs.push(...tasks.map((task) => task['number']))
          keep(tasks)
        }
        flow.finish([note, keep])
        expect(runs.includes(10)).toBe(next.length === 0)
        expect(flow.isCompleted(gone)).toBe(next.length === 0)
        for (const frame of [stays, ...next]) expect(flow.isCompleted(frame)).toBe(true)
        expectEmpty(flow)
      })
    },
  )

  test('a worker that gathers beside it takes no suspect into its batch', () => {
    eachPreemption((preempted) => {
      const flow = new SmallFlow()
      for (const number of [10, 20, 30]) flow.submit(new Frame(number))
      new SmallWorker(flow, 0, 0).begin()
      const other = new SmallWorker(flow, 0, 1, { batchSize: 3 })
      let batch: readonly { readonly slot: number }[] = []
      preempted(
        () => flow.recover(0, 0, once),
        () => {
          batch = other.begin()
        },
      )
      const suspects = batch.filter(({ slot }) => flow.control.tasks.deathsSeen(slot) > 0)
      expect(suspects.length === 0 || batch.length === 1).toBe(true)
      flow.recover(0, 0, once)
      flow.recover(0, 1, once)
      flow.finish([keep, keep])
      expectEmpty(flow)
    })
  })
})
