import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ownedByActor } from '../../src/memory/block-table.ts'
import { libc } from '../../src/memory/libc.ts'
import { StepMeter } from '../../src/metrics/meters.ts'
import { ClientRecovery } from '../../src/runtime/client-recovery.ts'
import { type BellEnds, createBell } from '../../src/transport/bells.ts'
import { FieldDecoder, FieldEncoder } from '../../src/transport/codec.ts'
import { FREE, QUEUED, RUNNING, actorOf, stateOf } from '../../src/transport/task-table.ts'
import { StepLoop } from '../../src/worker/loop.ts'
import { Pace } from '../../src/worker/pace.ts'
import { Sleeper } from '../../src/worker/sleeper.ts'
import { diesAt, preemptFromNowOn } from '../support/atomics.ts'
import { turn } from '../support/flow.ts'
import type { SmallClient } from '../support/small-client.ts'
import { SmallFlow } from '../support/small-flow.ts'

const GUEST = 1
const OTHER_GUEST = 2
const WORKER = 3

let bells: readonly BellEnds[]
let flow: SmallFlow
let guest: SmallClient
let other: SmallClient
let loop: StepLoop
let running: Promise<void>
let sleeper: Sleeper

async function turns(): Promise<void> {
  for (let count = 0; count < 20; count++) await turn()
}

/** The guest's program holds all memory but for so many pages of what may be taken at a stage. */
function fillMemory(stage: number, left: number): void {
  const { blocks } = guest.control
  const limit = flow.control.pageLimit(stage) - left
  while (blocks.pagesInUse() < limit) blocks.allocate(1, ownedByActor(GUEST), limit)
}

/** Whether anybody does anything, though nothing happens. */
async function isRestless(): Promise<boolean> {
  await turns()
  const watch = preemptFromNowOn(1, () => undefined)
  await turns()
  return watch.stop()
}

const PAYLOAD = 5000 // two pages
const image = (): Uint8Array => new Uint8Array(PAYLOAD)

// A real worker, asleep in the event loop, whose handler makes payloads of two pages.
beforeEach(async () => {
  bells = Array.from({ length: 6 }, () => createBell())
  flow = new SmallFlow(bells, 3)
  guest = flow.join(GUEST, libc().dup(bells[GUEST]!.read))
  other = flow.join(OTHER_GUEST, libc().dup(bells[OTHER_GUEST]!.read))
  const control = flow.attach(WORKER)
  sleeper = new Sleeper(control, bells[WORKER]!.read)
  loop = new StepLoop(
    control,
    {
      step: 0,
      worker: 0,
      handler: {
        handle: (tasks) => {
          for (const task of tasks) Object.assign(task, { image: image(), mask: image() })
        },
      },
      splits: true,
      rebuild: () => ({}),
      log: { handler: 'Maker', worker: 0, pid: process.pid, taskFailed: () => undefined },
      conditions: [undefined, undefined],
      batchSize: 1,
      batchTimeout: 0,
      spin: 0,
    },
    new FieldEncoder({ payloadThreshold: 1024 }),
    new FieldDecoder(),
    sleeper,
    new StepMeter(control.words, control.metricsStart(WORKER), control.shape, 1),
    new Pace(control, 1, 1),
  )
  running = loop.run()
  await turns()
})

afterEach(async () => {
  for (const { client } of [flow, guest, other]) client.failAll()
  loop.stop()
  sleeper.wakeAll()
  await running
  sleeper.close()
  flow.close()
  guest.close()
  other.close()
  bells.forEach(({ read, write }, actor) => {
    libc().close(write)
    if (actor !== WORKER) libc().close(read) // the worker's is closed by its sleeper
  })
})

describe('a worker that waits', () => {
  const waits: Record<string, () => void> = {
    'for memory': () => fillMemory(1, 1),
    'for room in front of the next step': () => {
      for (let number = 0; number < 4; number++) flow.submit({ number })
    },
  }
  const first = 4 // the guest's first slot

  const isWaiting = (): boolean => {
    const word = flow.control.tasks.word(first)
    return stateOf(word) === RUNNING && actorOf(word) === WORKER && sleeper.isAsleep
  }

  test.each(Object.keys(waits))('%s gives up for a client that has died', async (what) => {
    waits[what]!()
    await turns()
    guest.submit({ number: 1 })
    await turns()
    expect(isWaiting()).toBe(true)
    guest.close()
    const recovery = new ClientRecovery(flow.control, GUEST)
    await turns() // the worker hears that somebody died before it is told that the task is off
    const wasClear = recovery.look()
    await turns()
    expect([wasClear, recovery.look()]).toEqual([false, true])
  })

  test.each(Object.keys(waits))('%s gives up for a caller who does', async (what) => {
    waits[what]!()
    await turns()
    const caller = new AbortController()
    const task = guest.submit({ number: 1 }, Infinity, caller.signal)
    await turns()
    expect(isWaiting()).toBe(true)
    caller.abort()
    await turns()
    expect(guest.outcomes.get(task)).toMatchObject({ timesSettled: 1 })
    expect(stateOf(flow.control.tasks.word(first))).toBe(FREE)
  })

  test('for memory sleeps until some is released', async () => {
    fillMemory(1, 3)
    guest.submit({ number: 1 })
    await turns()
    expect(isWaiting()).toBe(true)
    expect(await isRestless()).toBe(false)
  })
})

test('clients that wait for memory sleep until some is released', async () => {
  fillMemory(0, 3)
  for (const client of [guest, other]) client.submit({ image: image(), mask: image() })
  expect(await isRestless()).toBe(false)
  for (const { client } of [guest, other]) expect(client.pending).toBe(1)
})

test('a client that dies at any step of waking a worker is made good for when that is known', async () => {
  let died = true
  for (let step = 1; died; step++) {
    const isWoken = sleeper.isAsleep
    died = diesAt(step, () => guest.control.wakeWorker(0))
    const slot = 0
    const task = flow.submit({ number: step })
    await turns()
    new ClientRecovery(flow.control, GUEST).look()
    await turns()
    const word = flow.control.tasks.word(slot)
    expect({
      step,
      isWoken,
      target: flow.control.tasks.target(slot),
      state: stateOf(word),
    }).toEqual({
      step,
      isWoken: true,
      target: 1,
      state: QUEUED,
    })
    flow.client.failAll()
    expect(flow.outcomes.get(task)).toMatchObject({ timesSettled: 1 })
  }
})
