import { expect, test } from 'vitest'
import { FAILED } from '../../src/metrics/counters.ts'
import { HistogramSum } from '../../src/metrics/histograms.ts'
import {
  BATCH_MS,
  BATCH_TASKS,
  FROM_CLIENT,
  HANDLE_MS,
  TASK_BYTES,
  TASK_HANDLE_MS,
  TRANSFER_MS,
  edgeHistogram,
} from '../../src/metrics/layout.ts'
import { StepMeter } from '../../src/metrics/meters.ts'
import { createBell } from '../../src/transport/bells.ts'
import { FieldDecoder, FieldEncoder } from '../../src/transport/codec.ts'
import type { ManualClock } from '../../src/transport/clock.ts'
import { StepLoop } from '../../src/worker/loop.ts'
import { Pace } from '../../src/worker/pace.ts'
import { Sleeper } from '../../src/worker/sleeper.ts'
import { turn } from '../support/flow.ts'
import { SmallFlow } from '../support/small-flow.ts'

const DECODE_MS = 5
const HANDLE = 7

/** A worker whose decoding and handling take their time by the flow's manual clock, and what it measures. */
async function work(
  flow: SmallFlow,
  bells: ReturnType<typeof createBell>[],
  handle: (tasks: readonly object[]) => void = () => undefined,
): Promise<Record<string, [count: number, sum: number]>> {
  const control = flow.attach(1)
  const meter = new StepMeter(control.words, control.metricsStart(1), control.shape, 4)
  const pass = (ms: number): void => flow.setTime((control.clock as ManualClock).now() + ms)
  const sleeper = new Sleeper(control, bells[1]!.read)
  const loop = new StepLoop(
    control,
    {
      step: 0,
      worker: 0,
      handler: {
        handle: (tasks) => {
          pass(HANDLE)
          handle(tasks)
        },
      },
      splits: true,
      rebuild: () => {
        pass(DECODE_MS)
        return {}
      },
      log: { handler: 'Slow', worker: 0, pid: process.pid, taskFailed: () => undefined },
      conditions: [undefined],
      batchSize: 4,
      batchTimeout: 0,
      spin: 0,
    },
    new FieldEncoder({ payloadThreshold: 100_000 }),
    new FieldDecoder(),
    sleeper,
    meter,
    new Pace(control, 4, 1),
  )
  const done = loop.run()
  for (let hop = 0; hop < 4; hop++) await turn()
  flow.client.tick()
  loop.stop()
  sleeper.wakeAll()
  await done
  sleeper.close()
  const edge = edgeHistogram(control.shape.priorities, FROM_CLIENT, 0)
  const read = (histogram: number): [number, number] => {
    const sum = new HistogramSum()
    meter.histograms.addTo(histogram, sum)
    const { count, sum: all } = sum.histogram('ms')
    return [count, all]
  }
  expect(meter.counters.get(FAILED)).toBe(0)
  return {
    transferMs: read(edge + TRANSFER_MS),
    taskBytes: read(edge + TASK_BYTES),
    batchMs: read(BATCH_MS),
    batchTasks: read(BATCH_TASKS),
    handleMs: read(HANDLE_MS),
    taskHandleMs: read(TASK_HANDLE_MS),
  }
}

function flowOf(tasks: readonly object[]): {
  flow: SmallFlow
  bells: ReturnType<typeof createBell>[]
} {
  const bells = Array.from({ length: 4 }, () => createBell())
  const flow = new SmallFlow(bells)
  flow.setTime(10)
  for (const task of tasks) flow.submit(task)
  flow.setTime(13)
  return { flow, bells }
}

test.each([
  ['few bytes counts to the handler: a look at the clock takes longer', 10, 0, DECODE_MS + HANDLE],
  ['many bytes counts to the batch', 10_000, DECODE_MS, HANDLE],
])('the decoding of %s', async (_, bytes, batchMs, handleMs) => {
  const task = { text: 'x'.repeat(bytes) }
  const { flow, bells } = flowOf([task])
  const measured = await work(flow, bells)
  expect(measured).toMatchObject({
    transferMs: [1, 3],
    batchMs: [1, batchMs],
    batchTasks: [1, 1],
    handleMs: [1, handleMs],
    taskHandleMs: [1, handleMs],
  })
  const { timings } = flow.outcomes.get(task)!
  const total = 3 + DECODE_MS + HANDLE
  const [totalMs, ...steps] = timings!
  expect([totalMs, ...steps.slice(0, 4)]).toEqual([total, 3, batchMs, handleMs, 1])
  flow.close()
})

test('tasks of a batch that is split have come once, in one batch', async () => {
  const tasks = [1, 2].map((number) => ({ number }))
  const { flow, bells } = flowOf(tasks)
  const measured = await work(flow, bells, (batch) => {
    if (batch.length > 1) throw new Error('one at a time')
  })
  for (const task of tasks) expect(flow.isCompleted(task)).toBe(true)
  expect(measured).toMatchObject({ batchTasks: [1, 2], transferMs: [2, 6] })
  expect(measured['taskBytes']![0]).toBe(2)
  // What the first try took is a part of what each of them took.
  const [first, second] = [2 * DECODE_MS + 2 * HANDLE + DECODE_MS, 2 * (2 * DECODE_MS) + 3 * HANDLE]
  expect(measured['handleMs']).toEqual([2, first + second])
  expect(measured['taskHandleMs']).toEqual([2, first + second])
  flow.close()
})
