import { readSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { libc } from '../../src/memory/libc.ts'
import { ClientRecovery } from '../../src/runtime/client-recovery.ts'
import { type BellEnds, createBell } from '../../src/transport/bells.ts'
import { RUNNING, generationOfState, stateOf } from '../../src/transport/task-table.ts'
import type { BatchSignals } from '../../src/worker/batch-signals.ts'
import type { Claim } from '../../src/worker/batcher.ts'
import { CallerWatch } from '../../src/worker/caller-watch.ts'
import { Sleeper } from '../../src/worker/sleeper.ts'
import { preemptedAt } from '../support/atomics.ts'
import { turn } from '../support/flow.ts'
import { SmallFlow, SmallWorker } from '../support/small-flow.ts'

const FIRST = 1
const SECOND = 3

let bells: readonly BellEnds[]
let flow: SmallFlow
const sleepers: Sleeper[] = []

/** A worker whose handler may listen. */
function listener(actor: number, step: number): { worker: SmallWorker; watch: CallerWatch } {
  const worker = new SmallWorker(flow, step, 0)
  const bell = libc().dup(bells[actor]!.read)
  const sleeper = new Sleeper(worker.control, bell)
  sleepers.push(sleeper)
  return { worker, watch: new CallerWatch(worker.control, sleeper) }
}

/** How many rings lie in a worker's bell. */
function ringsOf(actor: number): number {
  try {
    return readSync(bells[actor]!.read, Buffer.alloc(64))
  } catch {
    return 0 // it does not wait
  }
}

async function turns(): Promise<void> {
  for (let count = 0; count < 10; count++) await turn()
}

const started = (worker: SmallWorker): Claim[] => {
  const claims = worker.begin()
  expect(claims.length).toBeGreaterThan(0)
  return claims
}

beforeEach(() => {
  bells = Array.from({ length: 4 }, () => createBell())
  flow = new SmallFlow(bells)
})

afterEach(() => {
  flow.client.failAll()
  flow.close()
  for (const sleeper of sleepers.splice(0)) sleeper.close()
  for (const { read, write } of bells) for (const fd of [read, write]) libc().close(fd)
})

describe('a handler that listens', () => {
  test.each([
    ['goes at any moment while it begins to', (begin: () => void, go: () => void) => [go, begin]],
    ['is going while it begins to', (begin: () => void, go: () => void) => [begin, go]],
  ])('hears of a caller that %s', async (_when, arrange) => {
    const { worker, watch } = listener(FIRST, 0)
    let moments = 0
    for (let step = 1, happened = true; happened; step++) {
      const caller = new AbortController()
      flow.submit({ step }, Infinity, caller.signal)
      const claims = started(worker)
      let signals: BatchSignals | undefined
      const begin = (): void => {
        signals = watch.begin(claims, true)
      }
      const [intruder, run] = arrange(begin, () => caller.abort())
      happened = preemptedAt(step, intruder!, run!)
      if (!happened) intruder!()
      moments++
      const signal = signals!.signalOf(claims[0]!)
      await turns()
      expect([step, signal.aborted]).toEqual([step, true])
      watch.end(signals!)
      worker.complete(claims, () => undefined)
      flow.client.tick()
    }
    expect(moments).toBeGreaterThanOrEqual(3)
    expect(flow.leftovers()).toEqual({})
  })

  test('hears of a caller that goes while the task is handed over to it', async () => {
    const first = listener(FIRST, 0).worker
    const { worker: second, watch } = listener(SECOND, 1)
    let moments = 0
    for (let step = 1, happened = true; happened; step++) {
      const caller = new AbortController()
      flow.submit({ step }, Infinity, caller.signal)
      const claims = started(first)
      let next: Claim[] = []
      let signals: BatchSignals | undefined
      happened = preemptedAt(
        step,
        () => {
          first.complete(claims, () => undefined)
          next = second.begin()
          signals = watch.begin(next, true)
        },
        () => caller.abort(),
      )
      await turns()
      // Whichever worker has it by now: it knows.
      for (const { slot, generation } of next) {
        const word = flow.control.tasks.word(slot)
        if (stateOf(word) !== RUNNING || generationOfState(word) !== generation) continue
        moments++
        expect([step, signals!.signal.aborted]).toEqual([step, true])
      }
      if (signals !== undefined) watch.end(signals)
      second.complete(next, () => undefined)
      if (!happened) first.complete(claims, () => undefined)
      flow.client.tick()
    }
    expect(moments).toBeGreaterThan(1)
    expect(flow.leftovers()).toEqual({})
  })

  test('hears of a client that has died', async () => {
    const { worker, watch } = listener(FIRST, 0)
    flow.submit({ number: 1 })
    const claims = started(worker)
    const signals = watch.begin(claims, true)
    expect(signals.signal.aborted).toBe(false)
    new ClientRecovery(worker.control, 0).look()
    await turns()
    expect(signals.signal.reason).toMatchObject({ code: 'AQ_CANCELLED' })
    watch.end(signals)
    worker.complete(claims, () => undefined)
  })
})

test('nobody is rung while no handler listens, before or after', () => {
  const { worker, watch } = listener(FIRST, 0)
  const cancelled = (): Claim[] => {
    const caller = new AbortController()
    flow.submit({ number: 1 }, Infinity, caller.signal)
    const claims = started(worker)
    caller.abort()
    return claims
  }
  const claims = cancelled()
  expect(ringsOf(FIRST)).toBe(0)
  const signals = watch.begin(claims, true)
  expect(signals.signal.aborted).toBe(true) // it had gone before
  watch.end(signals)
  worker.complete(claims, () => undefined)
  flow.client.tick()

  worker.complete(cancelled(), () => undefined)
  expect(ringsOf(FIRST)).toBe(0)
})

test('the signal of a batch waits for the last caller, those of its tasks for theirs', async () => {
  const { worker, watch } = listener(FIRST, 0)
  const callers = [new AbortController(), new AbortController()]
  callers.forEach(({ signal }, number) => flow.submit({ number }, Infinity, signal))
  const claims = started(worker)
  const signals = watch.begin(claims, true)
  const all = [signals.signal, ...claims.map((claim) => signals.signalOf(claim))]
  const fired = async (): Promise<boolean[]> => {
    await turns()
    return all.map(({ aborted }) => aborted)
  }
  expect(await fired()).toEqual([false, false, false])
  callers[1]!.abort()
  expect(await fired()).toEqual([false, false, true])
  callers[0]!.abort()
  expect(await fired()).toEqual([true, true, true])
  watch.end(signals)
  worker.complete(claims, () => undefined)
})
