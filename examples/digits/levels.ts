/** Statistics of grey levels, by counting rather than by sorting. */

/** Bins per level: fine enough for noise of a level or two. */
const FINE = 4
const BINS = 256 * FINE

/**
 * The level below which `share` of the values lie.
 *
 * @param levels - 0..255; what lies outside counts as the nearer end
 * @returns the level, to a quarter; 0 where there are no values
 */
export function percentile(levels: ArrayLike<number>, share: number): number {
  const histogram = count(levels)
  const wanted = levels.length * share
  let seen = 0
  for (let bin = 0; bin < BINS; bin++) {
    seen += histogram[bin]!
    if (seen > 0 && seen >= wanted) return bin / FINE
  }
  return 0
}

/** The threshold that parts the levels best into two groups (Otsu). */
export function otsu(levels: ArrayLike<number>): number {
  const histogram = count(levels)
  let sum = 0
  for (let bin = 0; bin < BINS; bin++) sum += bin * histogram[bin]!
  let [best, threshold, below, sumBelow] = [-1, 0, 0, 0]
  for (let bin = 0; bin < BINS; bin++) {
    below += histogram[bin]!
    sumBelow += bin * histogram[bin]!
    const above = levels.length - below
    if (below === 0 || above === 0) continue
    const gap = sumBelow / below - (sum - sumBelow) / above
    const between = below * above * gap * gap
    if (between <= best) continue
    best = between
    threshold = bin
  }
  return (threshold + 0.5) / FINE
}

function count(levels: ArrayLike<number>): Uint32Array {
  const histogram = new Uint32Array(BINS)
  for (let i = 0; i < levels.length; i++) {
    const bin = Math.round(levels[i]! * FINE)
    histogram[Math.min(Math.max(bin, 0), BINS - 1)]!++
  }
  return histogram
}
