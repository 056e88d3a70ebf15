import { afterEach, beforeEach, expect, test } from 'vitest'
import { libc } from '../../src/memory/libc.ts'
import { StepMeter } from '../../src/metrics/meters.ts'
import { type BellEnds, createBell } from '../../src/transport/bells.ts'
import { FieldDecoder, FieldEncoder } from '../../src/transport/codec.ts'
import type { Control } from '../../src/transport/control.ts'
import { Company } from '../../src/worker/company.ts'
import { StepLoop } from '../../src/worker/loop.ts'
import { Pace } from '../../src/worker/pace.ts'
import { Pulse } from '../../src/worker/pulse.ts'
import { Sleeper } from '../../src/worker/sleeper.ts'
import { turn } from '../support/flow.ts'
import { SmallFlow } from '../support/small-flow.ts'

const WORKER = 1
const HOUR = 3_600_000

let bells: BellEnds[]
let flow: SmallFlow
let control: Control
let sleeper: Sleeper
let loop: StepLoop
let running: Promise<void>
/** How long the worker says, in each call of `handle`, that it has been busy. */
let busyMs: number[]
let onHandle: () => void
let onRebuild: () => void
let company: Company

// A worker that handles one task at a time. It reads the clock once for a task that follows another at once.
beforeEach(() => {
  busyMs = []
  onHandle = onRebuild = () => undefined
  bells = Array.from({ length: 4 }, () => createBell())
  flow = new SmallFlow(bells)
  flow.setTime(10)
  control = flow.attach(WORKER)
  sleeper = new Sleeper(control, bells[WORKER]!.read)
  company = new Company()
})

function start(loops?: Company): void {
  loop = new StepLoop(
    control,
    {
      step: 0,
      worker: 0,
      handler: {
        handle: () => {
          busyMs.push(control.clock.now() - control.vitals.busySince(WORKER)!)
          onHandle()
        },
      },
      splits: true,
      rebuild: () => {
        onRebuild()
        return {}
      },
      log: { handler: 'Clock', worker: 0, pid: process.pid, taskFailed: () => undefined },
      conditions: [undefined, undefined],
      batchSize: 1,
      batchTimeout: 0,
      spin: 0,
      pulse: new Pulse(control, false).ofLoop(),
    },
    new FieldEncoder({ payloadThreshold: 1024 }),
    new FieldDecoder(),
    sleeper,
    new StepMeter(control.words, control.metricsStart(WORKER), control.shape, 1),
    new Pace(control, 1, 1),
    loops,
  )
  running = loop.run()
}

afterEach(async () => {
  flow.client.failAll()
  loop.stop()
  sleeper.wakeAll()
  await running
  sleeper.close()
  flow.close()
  for (const { write } of bells) libc().close(write)
})

async function turns(): Promise<void> {
  for (let hop = 0; hop < 6; hop++) await turn()
}

test('tasks that follow one another at once begin when the one before was handled', async () => {
  for (let number = 0; number < 3; number++) flow.submit({ number })
  start()
  await turns()
  expect(busyMs).toStrictEqual([0, 0, 0])
})

test('a task that could not be read leaves no time of long ago to the next one', async () => {
  start()
  flow.submit({ number: 1 })
  sleeper.wakeAll()
  await turns()
  flow.setTime(HOUR)
  let rebuilt = 0
  onRebuild = () => {
    if (++rebuilt === 1) throw new Error('cannot be read')
  }
  flow.submit({ number: 2 })
  flow.submit({ number: 3 })
  sleeper.wakeAll()
  await turns()
  expect(rebuilt).toBe(2)
  expect(busyMs).toStrictEqual([0, 0])
})

test('a loop that has waited until another of its worker was alone asks for the time', async () => {
  let alone: Promise<void> | undefined
  onHandle = () => {
    if (alone !== undefined) return
    void company.join() // another loop, which has claimed a suspect
    alone = company.beAlone()
  }
  flow.submit({ number: 1 })
  flow.submit({ number: 2 })
  start(company)
  await turns()
  await alone
  flow.setTime(HOUR) // that it took with the suspect
  company.leave()
  await turns()
  expect(busyMs).toStrictEqual([0, 0])
})
