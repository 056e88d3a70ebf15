import { type Scene, attempt } from './attempt.ts'
import { calmPlan } from './plans.ts'
import type { Randomness } from './random.ts'
import type { ChaosReport } from './report.ts'

export interface WindowSettings {
  readonly randomness: Randomness
  /** Tasks that are on the way at any time. */
  readonly inFlight: number
  readonly signal: AbortSignal
}

/** Tasks per second in one window of a flow, and in the next of the flow that is spared, if there is one. */
export interface Pair {
  readonly flow: number
  readonly spared: number | undefined
}

/** How many tasks make a window of some `milliseconds`, found by measuring. */
export async function windowSize(
  scenes: readonly Scene[],
  settings: WindowSettings,
  milliseconds: number,
): Promise<number> {
  let tasks = 2 * settings.inFlight
  for (;;) {
    const start = performance.now()
    for (const scene of scenes) await measure(scene, settings, tasks)
    const took = (performance.now() - start) / scenes.length
    if (took >= milliseconds || settings.signal.aborted) return tasks
    tasks = Math.ceil(tasks * Math.min(2, (1.2 * milliseconds) / took))
  }
}

/** Fewer pairs are none. */
const LEAST_PAIRS = 3

/**
 * Windows of the two flows in turn, always in the same order: a window right after another of the same flow is faster, as
 * the workers are still awake. So many pairs, but no further ones once some `milliseconds` are over.
 */
export async function alternate(
  [flow, spared]: readonly Scene[],
  settings: WindowSettings,
  tasks: number,
  count: number,
  milliseconds: number,
): Promise<Pair[]> {
  const pairs: Pair[] = []
  const until = performance.now() + milliseconds
  for (let pair = 0; pair < count; pair++) {
    if (pair >= LEAST_PAIRS && performance.now() > until) break
    const ours = await measure(flow!, settings, tasks)
    const theirs = spared && (await measure(spared, settings, tasks))
    pairs.push({ flow: ours, spared: theirs })
  }
  return pairs
}

/**
 * Tasks per second of a closed loop. Every window of so many tasks has the very same ones, in the same order. NaN when
 * one was refused.
 */
async function measure(scene: Scene, settings: WindowSettings, tasks: number): Promise<number> {
  const { randomness, inFlight, signal } = settings
  const random = randomness.stream('measured')
  let next = 0
  let isRefused = false
  const loop = async (): Promise<void> => {
    while (next < tasks && !isRefused && !signal.aborted) {
      next++
      isRefused = !(await attempt(scene, calmPlan(scene.service, random))) || isRefused
    }
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: inFlight }, loop))
  return isRefused ? Number.NaN : (tasks / (performance.now() - start)) * 1000
}

/** NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return (
    ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2
  )
}

/** What of the throughput before there is after. */
export function shareOf(
  before: readonly Pair[],
  after: readonly Pair[],
): Pick<ChaosReport, 'throughputOfSpared' | 'throughputShare' | 'throughputShareBesideSpared'> {
  const flows = (pairs: readonly Pair[]): number => median(pairs.map(({ flow }) => flow))
  const throughputShare = flows(after) / flows(before)
  if (before[0]?.spared === undefined)
    return {
      throughputOfSpared: undefined,
      throughputShare,
      throughputShareBesideSpared: undefined,
    }
  const medianOf = (of: (flow: number, spared: number) => number, pairs: readonly Pair[]): number =>
    median(pairs.map(({ flow, spared = Number.NaN }) => of(flow, spared)))
  const ofSpared = (pairs: readonly Pair[]): number => medianOf((_, spared) => spared, pairs)
  const ratio = (pairs: readonly Pair[]): number => medianOf((flow, spared) => flow / spared, pairs)
  return {
    throughputOfSpared: { before: ofSpared(before), after: ofSpared(after) },
    throughputShare,
    throughputShareBesideSpared: ratio(after) / ratio(before),
  }
}
