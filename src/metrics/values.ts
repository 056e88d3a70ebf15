import { type Histogram, histogramOf, rangeOf } from './histogram.ts'

/**
 * The value below which a share of all values lies, known to a sixteenth; 0 when there are no values.
 *
 * @param share - 0 to 1: 0.5 is the median.
 * @example
 * ```ts
 * import { Flow, quantileOf } from 'aqueduct-ts'
 * import { SumHandler } from './sum.ts'
 *
 * const flow = new Flow([SumHandler])
 * const [step] = flow.metrics().steps
 * console.log(`99 of 100 batches take less than ${quantileOf(step!.handleMs, 0.99)} ms`)
 * ```
 */
export function quantileOf(histogram: Histogram, share: number): number {
  const bucket = bucketAt(histogram, share * histogram.count)
  if (bucket < 0) return 0
  const [least, largest] = rangeOf(histogram, bucket)
  return (least + largest) / 2
}

/**
 * What has been added to a histogram since an earlier reading of the same one. All of it when there was none, or when
 * the flow has been started anew since then.
 */
export function differenceOf(now: Histogram, before: Histogram | undefined): Histogram {
  if (before === undefined || before.count > now.count) return now
  const counts = Float64Array.from(now.counts, (count, bucket) => count - before.counts[bucket]!)
  return histogramOf(now.unit, counts, now.sum - before.sum, now.count - before.count)
}

/**
 * Values that stand for those of a histogram, in ascending order: each one while there are at most `limit`, else `limit`
 * quantiles at equal distances. Each lies in its bucket, and while each one is there their sum is the histogram's: a
 * single value is exact.
 */
export function samplesOf(histogram: Histogram, limit: number): number[] {
  const { counts, sum, count } = histogram
  let least = 0
  let width = 0
  for (let bucket = 0; bucket < counts.length; bucket++) {
    if (counts[bucket] === 0) continue
    const [low, high] = rangeOf(histogram, bucket)
    least += counts[bucket]! * low
    width += counts[bucket]! * (high - low)
  }
  // All at the same height in their buckets: the one that makes the sum come out.
  const height = width > 0 ? Math.min(1, Math.max(0, (sum - least) / width)) : 0
  const samples = Math.min(limit, count)
  return Array.from({ length: samples }, (_, index) => {
    const [low, high] = rangeOf(histogram, bucketAt(histogram, ((index + 0.5) / samples) * count))
    return low + height * (high - low)
  })
}

/** The bucket of the value of a rank, counted from 0; -1 when there are no values. */
function bucketAt({ counts }: Histogram, rank: number): number {
  let last = -1
  for (let bucket = 0, seen = 0; bucket < counts.length; bucket++) {
    if (counts[bucket] === 0) continue
    last = bucket
    seen += counts[bucket]!
    if (seen >= rank) return bucket
  }
  return last
}
