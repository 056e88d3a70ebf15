import type { Histogram } from '../../index.ts'

export type Labels = Readonly<Record<string, string>>

/** A value of a metric: for a histogram, one of its lines. */
export interface Point {
  /** What the line's name has after the metric's: nothing but for histograms. */
  readonly suffix: '' | '_bucket' | '_sum' | '_count'
  readonly labels: Labels
  readonly value: number
}

export const point = (labels: Labels, value: number): Point => ({ suffix: '', labels, value })

/**
 * The lines of a histogram. Exact: each upper bound is one of the buckets that the flow itself keeps.
 *
 * @param bounds - in the histogram's own unit.
 * @param unit - what one of that is in the metric's.
 */
export function pointsOf(
  histogram: Histogram,
  labels: Labels,
  bounds: readonly number[],
  unit: number,
): Point[] {
  const points: Point[] = []
  let bucket = 0
  let count = 0
  for (const bound of bounds) {
    const end = histogram.bounds.indexOf(bound) + 1
    for (; bucket < end; bucket++) count += histogram.counts[bucket]!
    // To the ninth decimal: 80 ms are 0.08 s, not 0.08000000000000002.
    const le = String(Number((bound * unit).toFixed(9)))
    points.push({ suffix: '_bucket', labels: { le, ...labels }, value: count })
  }
  points.push(
    { suffix: '_bucket', labels: { le: '+Inf', ...labels }, value: histogram.count },
    { suffix: '_sum', labels, value: histogram.sum * unit },
    { suffix: '_count', labels, value: histogram.count },
  )
  return points
}

/** Adds points up that are the same value at different times of the flow's life. */
export function sumOf(points: readonly Point[]): Point[] {
  const sums = new Map<string, Point>()
  for (const { suffix, labels, value } of points) {
    const key = JSON.stringify([suffix, labels])
    sums.set(key, { suffix, labels, value: value + (sums.get(key)?.value ?? 0) })
  }
  return [...sums.values()]
}
