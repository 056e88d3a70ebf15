import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { StepMeter } from '../../src/metrics/meters.ts'
import { libc } from '../../src/memory/libc.ts'
import { type BellEnds, createBell } from '../../src/transport/bells.ts'
import { FieldDecoder, FieldEncoder } from '../../src/transport/codec.ts'
import {
  CLAIMED,
  QUEUED,
  actorOf,
  generationOfState,
  stateOf,
  stateWord,
} from '../../src/transport/task-table.ts'
import { StepLoop } from '../../src/worker/loop.ts'
import { Pace } from '../../src/worker/pace.ts'
import { Sleeper } from '../../src/worker/sleeper.ts'
import { eachDeath, eachPreemption, preemptFromNowOn } from '../support/atomics.ts'
import { isLinearizable, type Observed } from '../support/linearize.ts'
import { SharedQueue } from '../support/shared-queue.ts'
import { SmallFlow } from '../support/small-flow.ts'

async function turns(count = 12): Promise<void> {
  for (let turn = 0; turn < count; turn++)
    await new Promise((resolve) => void setImmediate(resolve))
}

/** Withdraws task 0 from a list of waiting tasks. */
function takeOut(waiting: number[]): boolean {
  const at = waiting.indexOf(0)
  if (at >= 0) waiting.splice(at, 1)
  return at >= 0
}

describe('claims', () => {
  test('the higher priority first, within one the order of arrival', () => {
    const shared = new SharedQueue()
    const order = [0, 1, 0, 1, 0]
    order.forEach((priority, slot) => shared.submit(slot, priority))
    expect(order.map(() => shared.queue.claim(1))).toStrictEqual([1, 3, 0, 2, 4])
    expect(shared.queue.claim(1)).toBe(-1)
    expect(shared.queue.isEmpty()).toBe(true)
  })

  test('say whose they are', () => {
    const shared = new SharedQueue()
    shared.submit(3)
    shared.queue.claim(7)
    const word = shared.tasks.word(3)
    expect([stateOf(word), actorOf(word), generationOfState(word)]).toStrictEqual([CLAIMED, 7, 1])
  })

  test('pass over what was withdrawn, also when its slot has come again', () => {
    const shared = new SharedQueue()
    for (const slot of [0, 1, 2]) shared.submit(slot)
    shared.withdraw(0)
    shared.submit(0)
    expect([1, 2, 3, 4].map((actor) => shared.queue.claim(actor))).toStrictEqual([1, 2, 0, -1])
  })

  test.each(['priority', 'age'])(
    'by %s that overlap with others give each task once, in order',
    (turn) => {
      type Model = number[]
      const act: Record<string, (shared: SharedQueue) => Observed<Model>> = {
        claim: (shared) => {
          const returned = shared.queue.claim(1)
          return { name: 'claim', apply: (model) => model.shift() ?? -1, returned }
        },
        submit: (shared) => {
          shared.submit(5)
          return { name: 'submit', apply: (model) => model.push(5), returned: undefined }
        },
        withdraw: (shared) => {
          const returned = shared.withdraw(0)
          return { name: 'withdraw', apply: takeOut, returned }
        },
      }
      const withdrawnAfterClaim = (threads: Observed<Model>[][]): boolean =>
        // A claimed task may still be withdrawn: then both have it, and the worker finds that out when it starts.
        threads.flat().filter(({ returned }) => returned === 0 || returned === true).length > 1
      for (const held of [0, 1, 2, 3]) {
        for (const victim of Object.keys(act)) {
          for (const intrusion of [
            ['claim'],
            ['withdraw'],
            ['claim', 'claim'],
            ['withdraw', 'claim'],
            ['submit'],
          ]) {
            if (victim === 'submit' && intrusion.includes('submit')) continue
            eachPreemption((preempted) => {
              const shared = new SharedQueue()
              const [one, other] =
                turn === 'age'
                  ? [shared.anotherInTurnOfAge(), shared.anotherInTurnOfAge()]
                  : [shared.another(), shared.another()]
              for (let slot = 0; slot < held; slot++) shared.submit(slot)
              const threads: Observed<Model>[][] = [[], []]
              preempted(
                () => {
                  for (const name of intrusion) threads[1]!.push(act[name]!(other))
                },
                () => threads[0]!.push(act[victim]!(one)),
              )
              const left = shared.claimAll()
              const isRight = isLinearizable<Model>(
                Array.from({ length: held }, (_, slot) => slot),
                (model) => [...model],
                threads.map((thread) =>
                  thread.map((it) =>
                    it.name === 'submit' ? { ...it, apply: (m) => void m.push(5) } : it,
                  ),
                ),
                (model) => String(model) === String(left),
              )
              expect(isRight || withdrawnAfterClaim(threads)).toBe(true)
            })
          }
        }
      }
    },
  )

  test('whose worker dies leave every other task in the queue, in order', () => {
    eachDeath((die) => {
      const shared = new SharedQueue()
      for (const slot of [0, 1, 2]) shared.submit(slot)
      die(() => shared.another().queue.claim(1))
      const isClaimed = stateOf(shared.tasks.word(0)) === CLAIMED
      const rest = [0, 1, 2, 3].map(() => shared.queue.claim(2)).filter((slot) => slot >= 0)
      expect(rest).toStrictEqual(isClaimed ? [1, 2] : [0, 1, 2])
    })
  })
})

/** How many tasks of a full queue are claimed until who waits for room is to be told, where `producer` found some last. */
const claimsUntilTold = (waiter: number, producer: number): number => {
  const shared = new SharedQueue({ queueSize: 4, priorities: 1 })
  const { queue } = shared
  for (const slot of [0, 1, 2, 3]) shared.submit(slot)
  queue.noteProducer(producer)
  queue.waitForRoom(waiter)
  let claims = 0
  for (; !queue.shouldWakeRoomWaiters(); claims++) queue.claim(2)
  return claims
}

describe('room', () => {
  test('is what live tasks leave of the size, each priority for itself', () => {
    const shared = new SharedQueue()
    shared.submit(0)
    shared.submit(1)
    expect([shared.queue.hasRoom(0), shared.queue.hasRoom(1)]).toStrictEqual([false, true])
    shared.withdraw(1)
    expect(shared.queue.hasRoom(0)).toBe(true)
    expect(shared.queue.waiting(0)).toBe(1)
  })

  test('is where a worker has died, once that has been noted', () => {
    eachDeath((die) => {
      const shared = new SharedQueue()
      shared.submit(0)
      shared.submit(1)
      expect(shared.queue.hasRoom(0)).toBe(false)
      die(() => shared.another().queue.claim(1))
      shared.queue.noteStale()
      expect(shared.queue.hasRoom(0)).toBe(shared.queue.waiting(0) < 2)
    })
  })

  test('is told of to who found some last when half is free, to anybody else as soon as there is any', () => {
    expect([claimsUntilTold(40, 40), claimsUntilTold(40, 8), claimsUntilTold(0, -1)]).toEqual([
      2, 1, 1,
    ])
  })

  test('is there again once a cell is swept out that came after its task was withdrawn', () => {
    const shared = new SharedQueue({ queueSize: 1 })
    const { queue, tasks } = shared
    tasks.describe(0, 0, 0, 0, Infinity)
    tasks.set(0, stateWord(QUEUED, 1, 1))
    shared.withdraw(0)
    queue.push(0, 1, 0)
    queue.hasRoom(0)
    expect(queue.claim(2)).toBe(-1)
    expect(queue.hasRoom(0)).toBe(true)
  })
})

describe('sleepers', () => {
  test('are taken once each, the lowest first, across words of the mask', () => {
    const { queue } = new SharedQueue()
    for (const worker of [39, 3, 31, 32]) queue.sleep(worker)
    queue.wake(32)
    expect(queue.hasSleeper()).toBe(true)
    expect([1, 2, 3, 4].map(() => queue.takeSleeper())).toStrictEqual([3, 31, 39, -1])
    expect(queue.hasSleeper()).toBe(false)
  })

  test('are not taken twice by two who look at the same time', () => {
    eachPreemption((preempted) => {
      const shared = new SharedQueue()
      for (const worker of [1, 2]) shared.queue.sleep(worker)
      const taken: number[] = []
      preempted(
        () => taken.push(shared.another().queue.takeSleeper()),
        () => taken.push(shared.queue.takeSleeper()),
      )
      expect([[1, 2], [2, 1], [1]]).toContainEqual(taken)
    })
  })

  test('and those who wait for room: each is named once', () => {
    const { queue } = new SharedQueue()
    for (const actor of [40, 0, 31]) queue.waitForRoom(actor)
    const named: number[] = []
    queue.takeRoomWaiters((actor) => named.push(actor))
    queue.takeRoomWaiters((actor) => named.push(actor))
    expect(named).toStrictEqual([0, 31, 40])
  })
})

describe('the role of the gatherer', () => {
  test('is held by one, and given back in the name of the dead', () => {
    const { queue } = new SharedQueue()
    expect([queue.takeGathering(1), queue.takeGathering(2)]).toStrictEqual([true, false])
    queue.endGathering(2)
    expect(queue.isGathering()).toBe(true)
    queue.endGathering(1)
    expect(queue.takeGathering(2)).toBe(true)
  })
})

describe('going to sleep', () => {
  let bells: BellEnds[]
  let flow: SmallFlow
  let loops: { readonly loop: StepLoop; readonly sleeper: Sleeper; readonly done: Promise<void> }[]

  beforeEach(() => {
    bells = Array.from({ length: 4 }, () => createBell())
    flow = new SmallFlow(bells)
    loops = []
  })

  afterEach(async () => {
    await stopAll()
  })

  async function stopAll(): Promise<void> {
    for (const { loop, sleeper } of loops) {
      loop.stop()
      sleeper.wakeAll()
    }
    await Promise.all(loops.map(({ done }) => done))
    const listenedTo = new Set(loops.map(({ sleeper }) => sleeper))
    for (const sleeper of listenedTo) sleeper.close()
    flow.close()
    for (const { write } of bells) libc().close(write)
    loops = []
  }

  /** Leaves loops behind whose handlers never end. */
  function abandonAll(): void {
    for (const sleeper of new Set(loops.map((it) => it.sleeper))) sleeper.close()
    flow.close()
    for (const { write } of bells) libc().close(write)
    loops = []
    bells = Array.from({ length: 4 }, () => createBell())
    flow = new SmallFlow(bells)
  }

  /** Starts a worker of the first step with its real loop; `handled` gets the numbers of its tasks, batch by batch. */
  function startLoop(
    worker: number,
    batchTimeout: number,
    handled: number[][],
    options: { sleeper?: Sleeper; result?: Promise<void> } = {},
  ): Sleeper {
    const control = flow.attach(1 + worker)
    const sleeper = options.sleeper ?? new Sleeper(control, bells[1 + worker]!.read)
    const loop = new StepLoop(
      control,
      {
        step: 0,
        worker,
        handler: {
          handle: (tasks) => {
            handled.push(tasks.map((task) => (task as { number: number }).number))
            return options.result
          },
        },
        splits: true,
        rebuild: () => ({}),
        log: { handler: 'Queue', worker, pid: process.pid, taskFailed: () => undefined },
        conditions: [undefined],
        batchSize: 2,
        batchTimeout,
        spin: 0,
      },
      new FieldEncoder({ payloadThreshold: 1024 }),
      new FieldDecoder(),
      sleeper,
      new StepMeter(control.words, control.metricsStart(control.actor), control.shape, 2),
      new Pace(control, 2, 1),
    )
    loops.push({ loop, sleeper, done: loop.run() })
    return sleeper
  }

  test('a worker that is told of work while it goes to sleep is told again of the next', async () => {
    let wasPreempted = true
    for (let step = 1; wasPreempted; step++) {
      const handled: number[][] = []
      const other = flow.attach(2).queues[0]!
      const watch = preemptFromNowOn(step, () => {
        // Another worker gathers; it will take this task, and its batch is full then.
        if (other.takeGathering(2)) flow.submit({ number: 1 })
        flow.control.wakeWorker(0)
      })
      startLoop(0, 0, handled)
      wasPreempted = watch.stop()
      if (other.isGathering()) {
        other.claim(2)
        other.endGathering(2)
      }
      await turns()
      flow.submit({ number: 2 })
      await turns()
      expect(handled, `preempted at ${step}`).toContainEqual([2])
      await stopAll()
      bells = Array.from({ length: 4 }, () => createBell())
      flow = new SmallFlow(bells)
    }
  })

  test('the one who gathers is told of the task that fills its batch, though others sleep', async () => {
    const first: number[][] = []
    const second: number[][] = []
    startLoop(1, 1000, second)
    flow.submit({ number: 1 })
    await turns()
    startLoop(0, 1000, first)
    await turns()
    flow.submit({ number: 2 })
    await turns()
    expect([...first, ...second]).toStrictEqual([[1, 2]])
  })

  test('a loop that sleeps is told of work while another loop of its worker is busy', async () => {
    let wasPreempted = true
    for (let step = 1; wasPreempted; step++) {
      const handled: number[][] = []
      const { promise, resolve } = Promise.withResolvers<void>()
      const endless = new Promise<void>(() => undefined)
      const options: { result: Promise<void>; sleeper?: Sleeper } = { result: promise }
      options.sleeper = startLoop(0, 0, handled, options)
      startLoop(0, 0, handled, options)
      await turns()
      flow.submit({ number: 0 })
      await turns() // one of the two has it
      options.result = endless
      // A producer that is slow between its push and its look at the sleepers.
      const { control } = flow
      const wake = control.wakeWorker.bind(control)
      control.wakeWorker = () => undefined
      resolve()
      const watch = preemptFromNowOn(step, () => flow.submit({ number: 1 }))
      for (let hop = 0; hop < 40; hop++) await Promise.resolve()
      wasPreempted = watch.stop()
      if (!wasPreempted) flow.submit({ number: 1 })
      await Promise.resolve()
      control.wakeWorker = wake
      wake(0)
      await turns()
      flow.submit({ number: 2 })
      await turns()
      abandonAll()
      expect(handled, `preempted at ${step}`).toStrictEqual([[0], [1], [2]])
    }
  })
})
