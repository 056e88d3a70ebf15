import { describe, expect, test } from 'vitest'
import { readFlowHealth } from '../../src/flow-health.ts'
import { HangWatch } from '../../src/runtime/hang-watch.ts'
import { workerActor } from '../../src/transport/control.ts'
import { type LoopPulse, Pulse } from '../../src/worker/pulse.ts'
import { eachDeath, eachPreemption } from '../support/atomics.ts'
import { SmallFlow } from '../support/small-flow.ts'

const HANDLE_TIMEOUT = 100

/** The watch over the two workers of the first step, and what it has found. */
function scene(): {
  flow: SmallFlow
  watch: HangWatch<{ actor: number; handleTimeout: number }>
  hung: string[]
  pulseOf: (worker: number) => LoopPulse
  isWatching: () => boolean
} {
  const flow = new SmallFlow()
  const { control, shape } = flow
  const hung: string[] = []
  const actors = [0, 1].map((worker) => workerActor(shape, 0, worker))
  const ended = new Set<number>()
  const watch = new HangWatch(
    control,
    () =>
      actors
        .filter((actor) => !ended.has(actor))
        .map((actor) => ({ actor, handleTimeout: HANDLE_TIMEOUT })),
    ({ actor }, since) => {
      ended.add(actor)
      hung.push(`${actors.indexOf(actor)} since ${since}`)
    },
  )
  return {
    flow,
    watch,
    hung,
    pulseOf: (worker) => new Pulse(flow.attach(actors[worker]!), true).ofLoop(),
    // One more that becomes busy calls only when nobody watches.
    isWatching: () => !control.vitals.setBusyWatched(workerActor(shape, 1, 0), 0),
  }
}

describe('the watch over handlers', () => {
  test('ends a worker that is busy with one batch for longer than it may, and no earlier', () => {
    const { flow, watch, hung, pulseOf } = scene()
    const [first, second] = [pulseOf(0), pulseOf(1)]
    first.begin(0)
    watch.onBell()
    flow.setTime(40)
    second.begin(40)
    first.end()
    first.begin(90)
    flow.setTime(139)
    watch.look()
    expect(hung).toEqual([])
    flow.setTime(140)
    watch.look()
    expect(hung).toEqual(['1 since 40'])
    flow.close()
  })

  test('sleeps while no worker is busy, and is called by the first that is', () => {
    const { flow, watch, pulseOf } = scene()
    const pulse = pulseOf(0)
    const { vitals } = flow.control
    pulse.begin(0)
    expect(vitals.isCalled()).toBe(true)
    watch.onBell()
    expect(vitals.isCalled()).toBe(false)
    pulse.end()
    pulse.begin(1)
    expect(vitals.isCalled()).toBe(false) // it watches already
    pulse.end()
    watch.look()
    pulse.begin(2)
    expect(vitals.isCalled()).toBe(true)
    flow.close()
  })

  test('misses no worker that becomes busy at any moment of going to sleep', () => {
    const steps = eachPreemption((preempted) => {
      const { flow, watch, pulseOf, isWatching } = scene()
      const pulse = pulseOf(0)
      watch.look()
      preempted(
        () => pulse.begin(0),
        () => watch.look(),
      )
      const isBusy = flow.control.vitals.busySince(workerActor(flow.shape, 0, 0)) !== undefined
      watch.onBell()
      expect(isWatching()).toBe(isBusy)
      flow.close()
    })
    expect(steps).toBeGreaterThan(4)
  })

  test('misses no worker whose watch goes to sleep at any moment of its becoming busy', () => {
    eachPreemption((preempted) => {
      const { flow, watch, pulseOf, isWatching } = scene()
      const pulse = pulseOf(0)
      preempted(
        () => {
          watch.onBell()
          watch.look()
        },
        () => pulse.begin(0),
      )
      watch.onBell()
      expect(isWatching()).toBe(true)
      flow.close()
    })
  })

  test('goes on with the others when a worker dies at any step of becoming busy', () => {
    eachDeath((die) => {
      const { flow, watch, hung, pulseOf } = scene()
      die(() => pulseOf(0).begin(0))
      flow.control.vitals.clear(workerActor(flow.shape, 0, 0))
      watch.onBell()
      pulseOf(1).begin(10)
      watch.onBell()
      flow.setTime(110)
      watch.look()
      expect(hung).toEqual(['1 since 10'])
      flow.close()
    })
  })
})

test('a worker with several batches has been busy since the oldest of them began', () => {
  const flow = new SmallFlow()
  const actor = workerActor(flow.shape, 0, 0)
  const pulse = new Pulse(flow.attach(actor), false)
  const [first, second] = [pulse.ofLoop(), pulse.ofLoop()]
  const since = (): number | undefined => flow.control.vitals.busySince(actor)
  first.begin(10)
  second.begin(20)
  expect(since()).toBe(10)
  first.end()
  first.end()
  expect(since()).toBe(20)
  first.begin(30)
  second.end()
  expect(since()).toBe(30)
  first.end()
  expect(since()).toBeUndefined()
  flow.close()
})

/** A flow of which every worker is ready, and has 50 ms for a batch. */
function readyFlow(): { flow: SmallFlow; pulses: LoopPulse[] } {
  const flow = new SmallFlow()
  const pulses = [0, 1, 2].map((worker) => {
    const actor = worker < 2 ? workerActor(flow.shape, 0, worker) : workerActor(flow.shape, 1, 0)
    flow.control.vitals.setLive(actor, 50)
    return new Pulse(flow.attach(actor), false).ofLoop()
  })
  return { flow, pulses }
}

describe('the health of a flow', () => {
  const names = ['first', 'second']
  const healthOf = (flow: SmallFlow) => readFlowHealth(flow.control, 'running', names)

  test('is good while every step has a worker that waits or gets on', () => {
    const { flow, pulses } = readyFlow()
    for (const pulse of pulses) pulse.begin(0)
    flow.setTime(50)
    expect(healthOf(flow)).toMatchObject({ isReady: true, reason: undefined })
    pulses[2]!.end()
    pulses[1]!.end()
    flow.setTime(1_000)
    expect(healthOf(flow)).toMatchObject({ isReady: true, reason: undefined })
    flow.close()
  })

  test('names the step of which all workers are stuck', () => {
    const { flow, pulses } = readyFlow()
    pulses[0]!.begin(0)
    pulses[1]!.begin(10)
    flow.setTime(70)
    expect(healthOf(flow)).toEqual({
      isReady: false,
      state: 'running',
      reason:
        'step first is not ready: all of its 2 workers have been busy with one batch for too long (70 ms)',
      steps: [
        {
          name: 'first',
          isReady: false,
          reason: 'all of its 2 workers have been busy with one batch for too long (70 ms)',
        },
        { name: 'second', isReady: true, reason: undefined },
      ],
    })
    pulses[0]!.end()
    expect(healthOf(flow).isReady).toBe(true)
    flow.close()
  })

  test('names the step that has no worker', () => {
    const { flow } = readyFlow()
    flow.control.vitals.clear(workerActor(flow.shape, 1, 0))
    expect(healthOf(flow).reason).toBe('step second is not ready: no worker of it is ready')
    flow.control.vitals.setEnding(workerActor(flow.shape, 0, 0))
    expect(healthOf(flow).steps[0]!.isReady).toBe(true)
    flow.control.vitals.setEnding(workerActor(flow.shape, 0, 1))
    expect(healthOf(flow).steps[0]!.isReady).toBe(false)
    flow.close()
  })

  test('is that of a flow that does not run: not ready', () => {
    expect(readFlowHealth(undefined, 'stopped', names)).toMatchObject({
      isReady: false,
      reason: 'the flow is stopped',
    })
  })
})
