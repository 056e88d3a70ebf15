import type { Trial } from './service-side.ts'

/** What a service has to keep. */
export const P99_MS = 100
const LEAST_ANSWERED = 0.97
/** Close enough: noise is larger. */
const PRECISION = 1.04

/** How much lower to try where a rate was not kept for longer. */
const STEP_DOWN = 0.95
const MOST_STEPS_DOWN = 6

const passes = ({ heavy, light }: Trial): boolean =>
  heavy.failed === 0 &&
  light.failed === 0 &&
  !heavy.isAbandoned &&
  heavy.p99Ms <= P99_MS &&
  heavy.answeredPerSecond >= LEAST_ANSWERED * heavy.offeredPerSecond

/** The highest constant rate that is kept, by halving the interval in which it lies; undefined where none was. */
export async function highestRate(
  attempt: (perSecond: number) => Promise<Trial>,
  guess: number,
  trials: number,
): Promise<Trial | undefined> {
  let best: Trial | undefined
  let tooHigh = Infinity
  let rate = guess
  for (let count = 0; count < trials; count++) {
    const trial = await attempt(rate)
    if (passes(trial)) best = trial
    else tooHigh = rate
    const low = best?.perSecond
    if (low !== undefined && tooHigh / low < PRECISION) break
    if (low === undefined) rate = tooHigh * 0.75
    else rate = tooHigh === Infinity ? low * 1.2 : Math.sqrt(low * tooHigh)
  }
  return best
}

/** The first rate that is kept, from `rate` downwards in small steps; undefined where none was. */
export async function keptRate(
  attempt: (perSecond: number) => Promise<Trial>,
  rate: number,
): Promise<Trial | undefined> {
  for (let step = 0; step <= MOST_STEPS_DOWN; step++) {
    const trial = await attempt(rate * STEP_DOWN ** step)
    if (passes(trial)) return trial
  }
  return undefined
}
