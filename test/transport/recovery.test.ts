import { describe, expect, test } from 'vitest'
import { ownedBySlot } from '../../src/memory/block-table.ts'
import type { Claim } from '../../src/worker/batcher.ts'
import { eachDeath, eachPreemption, preemptedAt } from '../support/atomics.ts'
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

/** What a step may do with the payload. Each adds one to the number, and knows what the image must be then. */
const handlers: Record<string, { handle: Handle; image: (before: number) => number }> = {
  'keeps its payload': { handle: add(() => undefined), image: (before) => before },
  'drops its payload': {
    handle: add((task) => {
      task['image'] = undefined
    }),
    image: () => -1,
  },
  'makes a new payload': {
    handle: add((task, number) => {
      task['image'] = new Uint8Array(6000).fill(number)
    }),
    image: (before) => before + 1,
  },
  'makes one more payload, and fields that lie in a block': {
    handle: add((task, number) => {
      task['mask'] = new Uint8Array(9000).fill(number)
      task['note'] = 'long'.repeat(1000)
    }),
    image: (before) => before,
  },
}
const plain = handlers['keeps its payload']!

function expectWhole(frame: Frame, number: number, image: number): void {
  expect(frame.number).toBe(number)
  const expected = image < 0 ? undefined : new Set([image])
  expect(frame.image === undefined ? undefined : new Set(frame.image)).toStrictEqual(expected)
}

describe.each(Object.keys(handlers))('a worker whose handler %s', (kind) => {
  const { handle, image } = handlers[kind]!

  test('of the first step dies at any step: what it had started fails, the rest goes on', () => {
    const steps = eachDeath((die) => {
      const flow = new SmallFlow()
      const frames = [10, 20, 30].map((number) => flow.submit(new Frame(number)))
      const worker = new SmallWorker(flow, 0, 0)
      die(() => worker.turn(handle))
      const started = flow.runningOf(0, 0)
      flow.recover(0, 0)
      flow.finish([handle, plain.handle])
      frames.forEach((frame, slot) => {
        expect(flow.isCompleted(frame)).toBe(!started.includes(slot))
        const number = 10 * (slot + 1)
        if (flow.isCompleted(frame)) expectWhole(frame, number + 2, image(number))
        else expectWhole(frame, number, number)
      })
      flow.release()
      expect(flow.leftovers()).toStrictEqual({})
      flow.close()
    })
    expect(steps).toBeGreaterThan(40)
  })

  test('of the last step dies at any step: what it had started fails, the rest goes on', () => {
    eachDeath((die) => {
      const flow = new SmallFlow()
      const frames = [10, 20, 30].map((number) => flow.submit(new Frame(number)))
      const first = new SmallWorker(flow, 0, 0)
      first.turn(plain.handle)
      first.turn(plain.handle)
      const worker = new SmallWorker(flow, 1, 0)
      die(() => worker.turn(handle))
      const started = flow.runningOf(1, 0)
      flow.recover(1, 0)
      flow.finish([plain.handle, handle])
      frames.forEach((frame, slot) => {
        expect(flow.isCompleted(frame)).toBe(!started.includes(slot))
        const number = 10 * (slot + 1)
        if (!flow.isCompleted(frame)) return
        const made = image(number) === number + 1 ? number + 2 : image(number)
        expectWhole(frame, number + 2, made)
      })
      flow.release()
      expect(flow.leftovers()).toStrictEqual({})
      flow.close()
    })
  })

  test.each(['works', 'cancels'])(
    'dies at any step, and at any step of its recovery somebody else %s',
    (intrusion) => {
      eachDeath((die, step) => {
        const flow = new SmallFlow()
        const caller = new AbortController()
        const frames = [10, 20, 30].map((number) =>
          flow.submit(new Frame(number), Infinity, number === 20 ? caller.signal : undefined),
        )
        die(() => new SmallWorker(flow, 0, 0).turn(handle))
        const started = flow.runningOf(0, 0)
        const other = new SmallWorker(flow, 0, 1)
        // One moment for each death: with those of the other deaths they cover the recovery.
        preemptedAt(
          1 + ((step * 7) % 120),
          () => {
            if (intrusion === 'works') other.turn(handle)
            else caller.abort()
          },
          () => flow.recover(0, 0),
        )
        caller.abort()
        flow.finish([handle, plain.handle])
        frames.forEach((frame, slot) => {
          const number = 10 * (slot + 1)
          if (flow.isCompleted(frame)) expectWhole(frame, number + 2, image(number))
          const mayFail = started.includes(slot) || number === 20
          expect(flow.isCompleted(frame) || mayFail).toBe(true)
        })
        flow.release()
        expect(flow.leftovers()).toStrictEqual({})
        flow.close()
      })
    },
  )

  test('dies at any step while others work: it is recovered in the middle of their turn', () => {
    eachDeath((die, step) => {
      const flow = new SmallFlow()
      const frames = [10, 20, 30].map((number) => flow.submit(new Frame(number)))
      die(() => new SmallWorker(flow, 0, 0).turn(handle))
      // One schedule for each death: with those of the other deaths they cover the turn.
      const other = new SmallWorker(flow, 0, 1)
      preemptedAt(
        1 + ((step * 7) % 90),
        () => flow.recover(0, 0),
        () => other.turn(handle),
      )
      flow.recover(0, 0)
      flow.finish([handle, plain.handle])
      for (const frame of frames) {
        const number = Math.floor(frame.number / 10) * 10
        if (flow.isCompleted(frame)) expectWhole(frame, number + 2, image(number))
      }
      flow.release()
      expect(flow.leftovers()).toStrictEqual({})
      flow.close()
    })
  })
})

const fails: Handle = () => {
  throw new Error('no'.repeat(1000))
}

test('a worker whose handler throws may die at any step of saying so', () => {
  eachDeath((die) => {
    const flow = new SmallFlow()
    const frames = [10, 20, 30].map((number) => flow.submit(new Frame(number)))
    die(() => new SmallWorker(flow, 0, 0).turn(fails))
    flow.recover(0, 0)
    flow.finish([plain.handle, plain.handle])
    expect(flow.isCompleted(frames[2]!)).toBe(true)
    flow.release()
    expect(flow.leftovers()).toStrictEqual({})
    flow.close()
  })
})

test('a worker that finds deadlines passed may die at any step of saying so', () => {
  eachDeath((die) => {
    const flow = new SmallFlow()
    const late = [10, 20].map((number) => flow.submit(new Frame(number), 50))
    const inTime = flow.submit(new Frame(30))
    flow.setTime(60)
    die(() => new SmallWorker(flow, 0, 0, { batchSize: 3 }).turn(plain.handle))
    const started = flow.runningOf(0, 0)
    flow.recover(0, 0)
    flow.finish([plain.handle, plain.handle])
    for (const frame of late) expect(flow.isCompleted(frame)).toBe(false)
    expect(flow.isCompleted(inTime) || started.includes(2)).toBe(true)
    flow.release()
    expect(flow.leftovers()).toStrictEqual({})
    flow.close()
  })
})

describe('a caller who goes', () => {
  const ends = ['cancels', 'runs into its deadline'] as const

  test.each(ends)(
    '%s at any step of a worker, and comes back at once with the next task',
    (end) => {
      for (const kind of Object.keys(handlers)) {
        const { handle, image } = handlers[kind]!
        for (const batchSize of [0, 1, 2]) {
          eachPreemption((preempted) => {
            const flow = new SmallFlow()
            const caller = new AbortController()
            const gone = flow.submit(new Frame(10), 50, caller.signal)
            const stays = flow.submit(new Frame(20))
            const worker = new SmallWorker(flow, 0, 0, { batchSize: Math.max(1, batchSize) })
            const other = new SmallWorker(flow, 0, 1, { batchSize })
            const last = new SmallWorker(flow, 1, 0)
            const next: Frame[] = []
            preempted(
              () => {
                flow.setTime(60)
                if (end === 'cancels') caller.abort()
                else flow.client.tick()
                next.push(flow.submit(new Frame(30)))
                if (batchSize === 0) return // nobody else works
                other.turn(handle)
                last.turn(plain.handle)
              },
              () => worker.turn(handle),
            )
            flow.finish([handle, plain.handle])
            expect(flow.outcomes.get(gone)!.timesSettled).toBe(1)
            expect(flow.isCompleted(stays)).toBe(true)
            expectWhole(stays, 22, image(20))
            for (const frame of next) {
              expect(flow.isCompleted(frame)).toBe(true)
              expectWhole(frame, 32, image(30))
            }
            flow.release()
            expect(flow.leftovers()).toStrictEqual({})
            flow.close()
          })
        }
      }
    },
  )

  test.each(ends)('%s, and at any step of that a worker comes by', (end) => {
    for (const kind of Object.keys(handlers)) {
      const { handle, image } = handlers[kind]!
      eachPreemption((preempted) => {
        const flow = new SmallFlow()
        const caller = new AbortController()
        const gone = flow.submit(new Frame(10), 50, caller.signal)
        const stays = flow.submit(new Frame(20))
        const worker = new SmallWorker(flow, 0, 0)
        let next: Frame | undefined
        preempted(
          () => worker.turn(handle),
          () => {
            if (end === 'runs into its deadline') flow.setTime(60)
            if (end === 'cancels') caller.abort()
            else flow.client.tick()
            next = flow.submit(new Frame(30))
          },
        )
        flow.finish([handle, plain.handle])
        expect(flow.outcomes.get(gone)!.timesSettled).toBe(1)
        for (const [frame, number] of [
          [stays, 20],
          [next!, 30],
        ] as const) {
          expect(flow.isCompleted(frame)).toBe(true)
          expectWhole(frame, number + 2, image(number))
        }
        flow.release()
        expect(flow.leftovers()).toStrictEqual({})
        flow.close()
      })
    }
  })

  test('whose worker finds the deadline passed: nobody else is told that his task timed out', () => {
    const flow = new SmallFlow()
    const gone = flow.submit(new Frame(10), 50)
    const other = new SmallWorker(flow, 0, 1, { batchSize: 1 })
    const last = new SmallWorker(flow, 1, 0)
    let next: Frame | undefined
    const onExpired = (): void => {
      // The caller's own timer comes in between, and his slot goes to the next task, which is finished.
      flow.client.tick()
      next = flow.submit(new Frame(30))
      other.turn(plain.handle)
      last.turn(plain.handle)
    }
    const worker = new SmallWorker(flow, 0, 0, { batchSize: 1, onExpired })
    flow.setTime(60)
    worker.turn(plain.handle)
    flow.finish([plain.handle, plain.handle])
    expect(flow.isCompleted(gone)).toBe(false)
    expect(flow.isCompleted(next!)).toBe(true)
    flow.release()
    expect(flow.leftovers()).toStrictEqual({})
    flow.close()
  })
})

test('a cell seen as stale, and removed after its task was put back, was not the one that counts', () => {
  // One worker dies after its claim; another is about to remove the claimed task's cell when it is put back.
  eachDeath((die) => {
    eachPreemption((preempted) => {
      const flow = new SmallFlow()
      const frame = flow.submit(new Frame(10))
      const claimer = flow.attach(1)
      die(() => claimer.queues[0]!.claim(1))
      const other = flow.attach(2)
      preempted(
        () => flow.recover(0, 0),
        () => other.queues[0]!.claim(2),
      )
      flow.recover(0, 0)
      flow.recover(0, 1)
      flow.finish([plain.handle, plain.handle])
      expect(flow.isCompleted(frame)).toBe(true)
      flow.release()
      expect(flow.leftovers()).toStrictEqual({})
      flow.close()
    })
  })
})

test('a task that was put back keeps its payloads when its next worker has to encode twice', () => {
  const flow = new SmallFlow()
  flow.submit(new Frame(10))
  flow.attach(1).queues[0]!.claim(1)
  flow.recover(0, 0)
  const { batcher, payloads, control } = new SmallWorker(flow, 0, 1)
  const [{ slot, generation }] = batcher.start(batcher.claim([], 1)) as [Claim]
  const block = control.tasks.firstBlock(slot)
  payloads.begin(slot, generation, 1)
  const { buffer } = payloads.open(block, 0, 5000)
  payloads.begin(slot, generation + 1, 1)
  payloads.place(buffer)
  payloads.abandon(slot, generation + 1) // as when there is no memory for the rest
  expect(control.blocks.ownerOf(block)).toBe(ownedBySlot(slot))
  payloads.closeAll()
  flow.recover(0, 1)
  flow.client.tick()
  expect(flow.leftovers()).toStrictEqual({})
  flow.close()
})
