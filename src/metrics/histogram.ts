/**
 * Histograms with buckets that need no configuration: a bucket is at most an eighth of its values wide, so that a
 * quantile is known to a sixteenth. Which bucket a value belongs to is read from the bits of the number: a logarithm
 * would cost more than all the rest of recording it.
 */
export const BUCKETS = 256

/** Buckets to each doubling, as a power of two. */
const SUB_BITS = 3
const SUB_BUCKETS = 1 << SUB_BITS
/** Exponent and the first bits of the fraction, out of the upper half of a float64. */
const SHIFT = 20 - SUB_BITS
const EXPONENT_BIAS = 1023

// Milliseconds: bucket 0 holds all below 2^-10, the last all from an hour on.
const LOWEST_MS = -10
const MS_OFFSET = ((EXPONENT_BIAS + LOWEST_MS) << SUB_BITS) - 1
// Whole numbers: a bucket for each of the first, then as above; the last holds all from 2^33 · 15/8 on.
const EXACT_BITS = SUB_BITS + 1
const EXACT = 1 << EXACT_BITS
const WHOLE_OFFSET = ((EXPONENT_BIAS + EXACT_BITS) << SUB_BITS) - EXACT

const number = new Float64Array(1)
const halves = new Int32Array(number.buffer) // the upper half is the second: no big-endian machine has the memory calls

/** The bucket of milliseconds. */
export function bucketOfMs(ms: number): number {
  number[0] = ms
  const bucket = (halves[1]! >> SHIFT) - MS_OFFSET
  return bucket < 0 ? 0 : bucket < BUCKETS ? bucket : BUCKETS - 1
}

/** The bucket of a whole number. */
export function bucketOfWhole(value: number): number {
  if (value < EXACT) return value < 0 ? 0 : value | 0
  number[0] = value
  const bucket = (halves[1]! >> SHIFT) - WHOLE_OFFSET
  return bucket < BUCKETS ? bucket : BUCKETS - 1
}

/** Where the `steps`-th bucket after 2^`exponent` begins. */
const startOf = (exponent: number, steps: number): number =>
  2 ** (exponent + (steps >> SUB_BITS)) * (1 + (steps % SUB_BUCKETS) / SUB_BUCKETS)

const msBounds: readonly number[] = Object.freeze(
  Array.from({ length: BUCKETS - 1 }, (_, bucket) => startOf(LOWEST_MS, bucket)),
)
const wholeBounds: readonly number[] = Object.freeze(
  Array.from({ length: BUCKETS - 1 }, (_, bucket) =>
    bucket < EXACT ? bucket : startOf(EXACT_BITS, bucket + 1 - EXACT) - 1,
  ),
)

/** How often which values occurred, since the flow was started. Plain data. */
export interface Histogram {
  /** What was measured: milliseconds are any numbers, bytes and tasks whole ones. */
  readonly unit: 'ms' | 'bytes' | 'tasks'
  /** The largest value of each bucket, in ascending order. The last bucket has none: it holds all that is larger. */
  readonly bounds: readonly number[]
  /** Values in each bucket: one count more than there are bounds. */
  readonly counts: readonly number[]
  /** Exact, as are the counts. */
  readonly sum: number
  readonly count: number
}

const noCounts: readonly number[] = Object.freeze(Array.from({ length: BUCKETS }, () => 0))

/** A histogram of counts; without any, of nothing. */
export function histogramOf(
  unit: Histogram['unit'],
  counts?: Float64Array,
  sum = 0,
  count = 0,
): Histogram {
  return {
    unit,
    bounds: unit === 'ms' ? msBounds : wholeBounds,
    counts: counts === undefined ? noCounts : Array.from(counts),
    sum,
    count,
  }
}

/** The smallest and the largest value that a bucket can hold; the last is taken for as narrow as can be. */
export function rangeOf({ unit, bounds }: Histogram, bucket: number): [number, number] {
  const before = bucket === 0 ? 0 : bounds[bucket - 1]!
  const least = bucket === 0 || unit === 'ms' ? before : before + 1
  return [least, bounds[bucket] ?? least]
}
