import { expect, test } from 'vitest'
import type { FlowMetrics, FlowSample } from '../../src/index.ts'
import { Flow } from '../../src/index.ts'
import { Watch } from '../../src/watch/watch.ts'
import type { Reading } from '../../src/watch/sample.ts'
import type { FlowView } from '../../src/watch/view.ts'
import { SumHandler } from '../fixtures/sum.ts'

/** A flow of which the test says what it does, and when a second is over. */
class Scene {
  admitted = 0
  completed = 0
  readings = 0
  /** Called when a program has a task pending; undefined while nobody asks. */
  wake: (() => void) | undefined
  readonly #metrics: FlowMetrics = new Flow([SumHandler]).metrics()
  #time = Math.ceil(performance.now())
  #tick: (() => void) | undefined
  readonly watch = new Watch(
    {
      read: () => this.#read(),
      view: () => ({ state: 'running' }) as unknown as FlowView,
      whenBusy: (callback) => {
        this.wake = callback
      },
    },
    (_period, callback) => {
      this.#tick = callback
      return () => {
        this.#tick = undefined
      }
    },
  )

  get isAsleep(): boolean {
    return this.#tick === undefined
  }

  second(completed = 0): void {
    this.admitted += completed
    this.completed += completed
    this.#time += 1_000
    this.#tick?.()
  }

  /** Looks in, and says what it sees. */
  look(): readonly FlowSample[] {
    let history: readonly FlowSample[] = []
    this.watch.attach({
      onHistory: (samples) => {
        history = [...samples]
      },
      onSample: () => undefined,
    })()
    return history
  }

  #read(): Reading {
    this.readings++
    const { admitted, completed } = this
    const tasks = { ...this.#metrics.tasks, admitted, completed, pending: admitted - completed }
    return {
      at: this.#time,
      time: this.#time,
      state: 'running',
      metrics: { ...this.#metrics, tasks },
      waiting: [[]],
      lanes: [1],
      occupied: [0],
      bytesInUse: 0,
      bytesCommitted: 0,
    }
  }
}

test('a flow that nobody ever watched is never sampled', () => {
  const scene = new Scene()
  scene.watch.wake()
  scene.second(5)
  expect([scene.isAsleep, scene.readings]).toEqual([true, 0])
})

test('five minutes are there for who comes later, and no more', () => {
  const scene = new Scene()
  scene.look()
  for (let second = 1; second <= 400; second++) scene.second(second)
  const history = scene.look()
  const counts = history.map(({ tasks }) => tasks.completed).filter((count) => count > 0)
  expect(counts.at(-1)).toBe(400)
  expect(counts).toHaveLength(300)
})

test('an idle flow sleeps while nobody watches, and its next task wakes it', () => {
  const scene = new Scene()
  scene.look()
  scene.second(1)
  expect(scene.isAsleep).toBe(false)
  scene.second()
  scene.second()
  expect(scene.isAsleep).toBe(true)
  const { readings } = scene
  for (let second = 0; second < 60; second++) scene.second()
  expect(scene.readings).toBe(readings)
  scene.admitted++
  scene.wake!()
  expect(scene.isAsleep).toBe(false)
  scene.completed++
  scene.second()
  // What was done before the first second after the rest was over is in it.
  expect(
    scene.look().find(({ tasks }) => tasks.completed === 1 && tasks.admitted === 1),
  ).toBeDefined()
})

test('an idle flow that is watched is sampled on', () => {
  const scene = new Scene()
  const seen: FlowSample[] = []
  const stop = scene.watch.attach({ onHistory: () => undefined, onSample: (one) => seen.push(one) })
  for (let second = 0; second < 10; second++) scene.second()
  expect(seen).toHaveLength(11)
  stop()
  scene.second()
  scene.second()
  expect([seen.length, scene.isAsleep]).toEqual([11, true])
})

test('a flow with a task that takes long does not sleep', () => {
  const scene = new Scene()
  scene.look()
  scene.admitted++
  for (let second = 0; second < 10; second++) scene.second()
  expect(scene.isAsleep).toBe(false)
})
