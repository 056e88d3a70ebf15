import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { quantile } from './statistics.ts'

/** Tasks that arrive at a constant rate, whatever becomes of those before them. */
export interface Arrivals {
  readonly perSecond: number
  readonly seconds: number
  /**
   * Whether to look at the clock all the time before an arrival is due, because a timer comes up to a millisecond too
   * late. That takes processor time from whoever else is there.
   */
  readonly precise?: boolean
}

/** What became of them. Latencies count from when a task was to arrive, not from when it was sent. */
export interface Arrived {
  readonly offeredPerSecond: number
  /** Tasks answered in the time that is measured. */
  readonly answeredPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  readonly samples: number
  readonly failed: number
  /** Why the first of them failed. */
  readonly failure?: string | undefined
  /** How much too late the driver sent, in the median: what the figures owe to it. */
  readonly lateP50Ms: number
  /** So much was waiting for its answer that nothing more was sent. */
  readonly isAbandoned: boolean
}

const WARM_UP_SHARE = 0.25
/** How long before an arrival a precise driver begins to look at the clock. */
const LOOK_MS = 1.3
/** What may wait for its answer: as much as arrives in so many seconds, but some at least. */
const MOST_WAITING_SECONDS = 2
const LEAST_WAITING = 500

export async function constantArrivals(
  act: (number: number) => Promise<void>,
  { perSecond, seconds, precise = false }: Arrivals,
): Promise<Arrived> {
  const apart = 1000 / perSecond
  const warmUp = Math.ceil(perSecond * seconds * WARM_UP_SHARE)
  const total = warmUp + Math.max(1, Math.ceil(perSecond * seconds))
  const mostWaiting = Math.max(LEAST_WAITING, perSecond * MOST_WAITING_SECONDS)
  const latencies: number[] = []
  const lateness: number[] = []
  const waiting = new Set<Promise<void>>()
  let failed = 0
  let failure: string | undefined
  let answered = 0
  const begin = performance.now() + apart
  const measuredFrom = begin + warmUp * apart
  const measuredUntil = begin + total * apart
  const send = async (number: number): Promise<void> => {
    const due = begin + number * apart
    const isMeasured = number >= warmUp
    if (isMeasured) lateness.push(performance.now() - due)
    try {
      await act(number)
    } catch (error) {
      failed++
      failure ??= error instanceof Error ? error.message : String(error)
      return
    }
    const now = performance.now()
    if (isMeasured) latencies.push(now - due)
    if (now >= measuredFrom && now < measuredUntil) answered++
  }

  let next = 0
  while (next < total && waiting.size <= mostWaiting) {
    const now = performance.now()
    for (; next < total && begin + next * apart <= now; next++) {
      const sending = send(next)
      waiting.add(sending)
      void sending.then(() => waiting.delete(sending))
    }
    const left = begin + next * apart - performance.now()
    if (precise && left < LOOK_MS) await turn()
    else await sleep(Math.max(1, precise ? left - LOOK_MS : left))
  }
  const isAbandoned = next < total
  await Promise.all(waiting)
  return {
    offeredPerSecond: perSecond,
    answeredPerSecond: answered / ((measuredUntil - measuredFrom) / 1000),
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    maxMs: quantile(latencies, 1),
    samples: latencies.length,
    failed,
    failure,
    lateP50Ms: quantile(lateness, 0.5),
    isAbandoned,
  }
}
