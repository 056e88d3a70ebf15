import type { Ratio } from './report.ts'

/** The value below which a share of the sorted values lies, between neighbours by proportion. */
export function quantile(values: Iterable<number>, share: number): number {
  const sorted = Float64Array.from(values).toSorted()
  if (sorted.length === 0) return NaN
  const position = (sorted.length - 1) * share
  const low = sorted[Math.floor(position)]!
  const high = sorted[Math.ceil(position)]!
  return low + (high - low) * (position - Math.floor(position))
}

export const median = (values: Iterable<number>): number => quantile(values, 0.5)

/** Durations of single operations in milliseconds, as figures of a row. */
export function latency(durations: readonly number[]): {
  readonly p50Us: number
  readonly p99Us: number
  readonly samples: number
} {
  return {
    p50Us: median(durations) * 1000,
    p99Us: quantile(durations, 0.99) * 1000,
    samples: durations.length,
  }
}

/** Two figures that were measured one right after the other. */
export interface Pair {
  readonly ours: number
  readonly theirs: number
}

/** Ours over theirs, pair by pair: what slows the machine down slows both halves of a pair. */
export function ratioOf(pairs: readonly Pair[], of: string): Ratio {
  const ratios = pairs.map(({ ours, theirs }) => ours / theirs)
  return {
    median: median(ratios),
    min: Math.min(...ratios),
    max: Math.max(...ratios),
    pairs: ratios.length,
    of,
  }
}

/** How much y grows per unit of x, by least squares. */
export function slope(points: readonly { readonly x: number; readonly y: number }[]): number {
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / points.length
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / points.length
  const covariance = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0)
  const variance = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0)
  return variance === 0 ? 0 : covariance / variance
}
