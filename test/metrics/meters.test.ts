import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FAILED } from '../../src/metrics/counters.ts'
import { HistogramSum, type Histograms } from '../../src/metrics/histograms.ts'
import {
  FROM_CLIENT,
  HANDLE_MS,
  type MetricsShape,
  TASK_BYTES,
  TASK_HANDLE_MS,
  TRANSFER_MS,
  edgeHistogram,
  histogramsOf,
  metricWords,
} from '../../src/metrics/layout.ts'
import { Meter, StepMeter } from '../../src/metrics/meters.ts'

const shapeOf = (steps: number, priorities: number, metrics = true): MetricsShape => ({
  metrics,
  priorities,
  steps: Array.from({ length: steps }),
})

const shapes = fc
  .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 4 }))
  .map(([steps, priorities]) => shapeOf(steps, priorities))

function read(histograms: Histograms, histogram: number): { count: number; sum: number } {
  const sum = new HistogramSum()
  histograms.addTo(histogram, sum)
  return sum.histogram('ms')
}

describe('metrics in shared memory', () => {
  test('every histogram of every actor has words of its own, and sums have theirs', () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const actors = 3
        const words = new Int32Array(actors * metricWords(shape))
        const meters = Array.from(
          { length: actors },
          (_, actor) => new Meter(words, actor * metricWords(shape), shape),
        )
        const amount = (actor: number, histogram: number): number =>
          1 + actor * histogramsOf(shape) + histogram
        meters.forEach(({ histograms, counters }, actor) => {
          for (let index = 0; index < histograms.length; index++)
            for (let times = 0; times < amount(actor, index); times++)
              histograms.recordMs(index, index)
          counters.add(FAILED, actor + 1)
        })
        meters.forEach(({ histograms, counters }, actor) => {
          for (let index = 0; index < histograms.length; index++) {
            const count = amount(actor, index)
            expect(read(histograms, index)).toMatchObject({ count, sum: count * index })
          }
          expect(counters.get(FAILED)).toBe(actor + 1)
        })
      }),
      { numRuns: 20 },
    )
  })

  test('edges from different places and of different priorities are different histograms', () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const seen = new Set<number>([HANDLE_MS, TASK_HANDLE_MS])
        for (let from = FROM_CLIENT; from <= shape.steps.length; from++) {
          for (let priority = 0; priority < shape.priorities; priority++) {
            for (const kind of [TRANSFER_MS, TASK_BYTES]) {
              const histogram = edgeHistogram(shape.priorities, from, priority) + kind
              expect(seen.has(histogram)).toBe(false)
              expect(histogram).toBeLessThan(histogramsOf(shape))
              seen.add(histogram)
            }
          }
        }
      }),
    )
  })

  test.each([
    ['a step that there is not', 3, 0],
    ['a priority that there is not', 0, 2],
    ['a priority below the lowest', 0, -1],
  ])('what damaged memory says of %s is recorded nowhere', (_, from, priority) => {
    const shape = shapeOf(3, 2)
    const words = new Int32Array(metricWords(shape))
    new StepMeter(words, 0, shape, 4).arrived(from, priority, 1, 1)
    expect(words.some((word) => word !== 0)).toBe(false)
  })

  test('times that clocks make negative count as none', () => {
    const shape = shapeOf(1, 1)
    const meter = new StepMeter(new Int32Array(metricWords(shape)), 0, shape, 4)
    meter.arrived(-1, 0, -0.5, 10)
    const edge = edgeHistogram(shape.priorities, FROM_CLIENT, 0)
    expect(read(meter.histograms, edge + TRANSFER_MS)).toMatchObject({ count: 1, sum: 0 })
  })

  test('without metrics there is room for the sums alone, and a worker writes none', () => {
    const shape = shapeOf(4, 4, false)
    const words = new Int32Array(metricWords(shape))
    expect(words.length).toBeLessThan(100)
    const meter = new StepMeter(words, 0, shape, 4)
    expect([meter.isOn, meter.histograms.length]).toEqual([false, 0])
    meter.add(FAILED, 1)
    expect(words.some((word) => word !== 0)).toBe(false)
  })
})
