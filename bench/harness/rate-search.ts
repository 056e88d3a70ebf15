import type { Trial } from './service-side.ts'

/** What a service has to keep. */
export const P99_MS = 100
const LEAST_ANSWERED = 0.97
/** Close enough: noise is larger. */
const PRECISION = 1.04

const passes = ({ heavy }: Trial): boolean =>
  heavy.failed === 0 &&
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
