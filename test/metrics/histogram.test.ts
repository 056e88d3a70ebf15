import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  BUCKETS,
  type Histogram,
  bucketOfMs,
  bucketOfWhole,
  histogramOf,
  rangeOf,
} from '../../src/metrics/histogram.ts'
import { differenceOf, quantileOf, samplesOf } from '../../src/metrics/values.ts'

type Unit = Histogram['unit']

/** Values from the smallest that counts to the largest bucket's, spread over all doublings. */
const valuesOf = (unit: Unit): fc.Arbitrary<number> =>
  fc
    .tuple(
      fc.integer({ min: unit === 'ms' ? -12 : 0, max: 20 }),
      fc.double({ min: 1, max: 2, noNaN: true }),
    )
    .map(([exponent, fraction]) => {
      const value = 2 ** exponent * fraction
      return unit === 'ms' ? value : Math.floor(value)
    })

const listOf = (unit: Unit, minLength = 1): fc.Arbitrary<number[]> =>
  fc.array(fc.oneof(fc.constant(0), valuesOf(unit)), { minLength, maxLength: 300 })

const bucketOf = (unit: Unit, value: number): number =>
  unit === 'ms' ? bucketOfMs(value) : bucketOfWhole(value)

const sum = (values: readonly number[]): number => values.reduce((all, one) => all + one, 0)

/** The plain way: counts by looking a value's bucket up among the bounds. */
function referenceOf(unit: Unit, values: readonly number[]): Histogram {
  const { bounds } = histogramOf(unit)
  const counts = new Float64Array(BUCKETS)
  for (const value of values) {
    const bucket = bounds.findIndex((bound) => (unit === 'ms' ? value < bound : value <= bound))
    counts[bucket < 0 ? BUCKETS - 1 : bucket]!++
  }
  return histogramOf(unit, counts, sum(values), values.length)
}

describe.each<Unit>(['ms', 'bytes'])('a histogram of %s', (unit) => {
  test('has ascending bounds, each bucket at most an eighth of its values wide', () => {
    const empty = histogramOf(unit)
    expect(empty.counts).toHaveLength(BUCKETS)
    expect(empty.bounds).toHaveLength(BUCKETS - 1)
    for (let bucket = 1; bucket < BUCKETS - 1; bucket++) {
      const [least, largest] = rangeOf(empty, bucket)
      expect(largest).toBeGreaterThan(empty.bounds[bucket - 1]!)
      expect(largest - least).toBeLessThanOrEqual(least / 8)
    }
  })

  test('finds the bucket of every value, that of the bounds and their neighbours too', () => {
    const { bounds } = histogramOf(unit)
    const edges = bounds.flatMap((bound) =>
      unit === 'ms' ? [bound, bound * (1 - Number.EPSILON)] : [bound, bound + 1],
    )
    const expectBucket = (value: number): void => {
      const bucket = bucketOf(unit, value)
      expect(referenceOf(unit, [value]).counts[bucket], `bucket of ${value}`).toBe(1)
    }
    for (const edge of edges) expectBucket(edge)
    fc.assert(fc.property(fc.oneof(fc.constant(0), valuesOf(unit)), expectBucket))
  })

  test.each([0, -1, Infinity])('takes %s into its first or last bucket', (value) => {
    expect(bucketOf(unit, value)).toBe(value > 0 ? BUCKETS - 1 : 0)
  })

  test('knows each quantile to a sixteenth', () => {
    fc.assert(
      fc.property(listOf(unit), fc.double({ min: 0, max: 1, noNaN: true }), (values, share) => {
        const rank = Math.max(0, Math.ceil(share * values.length) - 1)
        const exact = values.toSorted((a, b) => a - b)[rank]!
        const told = quantileOf(referenceOf(unit, values), share)
        const tolerance = unit === 'ms' ? exact / 16 + 2 ** -11 : exact / 16
        expect(Math.abs(told - exact)).toBeLessThanOrEqual(tolerance)
      }),
    )
  })

  test('gives each value back to an eighth while they are few, with the same sum', () => {
    fc.assert(
      fc.property(listOf(unit), (values) => {
        const samples = samplesOf(referenceOf(unit, values), values.length)
        const exact = values.toSorted((a, b) => a - b)
        expect(samples).toHaveLength(values.length)
        samples.forEach((sample, index) => {
          const tolerance = exact[index]! / 8 + (unit === 'ms' ? 2 ** -10 : 0)
          expect(Math.abs(sample - exact[index]!)).toBeLessThanOrEqual(tolerance)
        })
        expect(sum(samples)).toBeCloseTo(sum(values), 5)
      }),
    )
  })

  test('gives a single value back as it was', () => {
    fc.assert(
      fc.property(valuesOf(unit), (value) => {
        const [sample] = samplesOf(referenceOf(unit, [value]), 100)
        expect(sample).toBeCloseTo(value, 9)
      }),
    )
  })

  test('gives quantiles at equal distances when they are many', () => {
    const limit = 10
    fc.assert(
      fc.property(listOf(unit, limit + 1), (values) => {
        const samples = samplesOf(referenceOf(unit, values), limit)
        const exact = values.toSorted((a, b) => a - b)
        expect(samples).toHaveLength(limit)
        samples.forEach((sample, index) => {
          const value = exact[Math.ceil(((index + 0.5) / limit) * values.length) - 1]!
          const tolerance = value / 8 + (unit === 'ms' ? 2 ** -10 : 0)
          expect(Math.abs(sample - value)).toBeLessThanOrEqual(tolerance)
        })
      }),
    )
  })

  test('less an earlier reading is what was added since', () => {
    fc.assert(
      fc.property(listOf(unit, 0), listOf(unit, 0), (before, since) => {
        const now = referenceOf(unit, [...before, ...since])
        const { counts, count } = referenceOf(unit, since)
        expect(differenceOf(now, referenceOf(unit, before))).toMatchObject({ unit, counts, count })
        expect(differenceOf(now, undefined)).toBe(now)
      }),
    )
  })
})

test('whole numbers below 16 have a bucket each', () => {
  const numbers = Array.from({ length: 16 }, (_, index) => index)
  expect(numbers.map(bucketOfWhole)).toEqual(numbers)
  expect(numbers.map((one) => samplesOf(referenceOf('tasks', [one, one]), 9))).toEqual(
    numbers.map((one) => [one, one]),
  )
})

test('an earlier reading of a flow that has been started anew since does not count', () => {
  const before = referenceOf('ms', [1, 2, 3])
  const now = referenceOf('ms', [5])
  expect(differenceOf(now, before)).toBe(now)
})

test('nothing has neither quantiles nor samples', () => {
  expect(quantileOf(histogramOf('ms'), 0.5)).toBe(0)
  expect(samplesOf(histogramOf('ms'), 100)).toEqual([])
})
