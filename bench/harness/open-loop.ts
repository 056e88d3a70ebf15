import { setTimeout as delay } from 'node:timers/promises'

/** What became of the tasks of an open loop. */
export interface Arrivals {
  readonly offered: number
  /** Answers per second within the deadline, from the first deadline on to the end of the arrivals. */
  readonly goodput: number
  /** Answered within the deadline, in all. */
  readonly inTime: number
  /** Answered, but later than that. */
  readonly late: number
  /** Failed, by the code of their error. */
  readonly failed: Readonly<Record<string, number>>
  /** Milliseconds from the call to the answer of those in time. */
  readonly durations: readonly number[]
}

const CHUNK_MS = 5

/**
 * Calls at a fixed rate for so long, whatever becomes of the calls, then waits for those that are left. What comes later
 * than its deadline is no answer. Goodput is counted while the queue is as long as it gets: without the time before, and
 * without the answers that a full queue still gives after the last arrival.
 */
export async function openLoop(
  call: () => Promise<unknown>,
  perSecond: number,
  seconds: number,
  deadlineMs: number,
): Promise<Arrivals> {
  const begin = performance.now()
  const from = begin + deadlineMs
  const until = from + seconds * 1000
  const failed: Record<string, number> = {}
  const durations: number[] = []
  const calls: Promise<void>[] = []
  let offered = 0
  let late = 0
  let counted = 0
  const one = async (due: number): Promise<void> => {
    try {
      await call()
    } catch (error) {
      const { code, name } = error as { readonly code?: string; readonly name: string }
      failed[code ?? name] = (failed[code ?? name] ?? 0) + 1
      return
    }
    const now = performance.now()
    if (now - due > deadlineMs) {
      late++
      return
    }
    durations.push(now - due)
    if (now >= from && now < until) counted++
  }
  for (let now = begin; now < until; now = performance.now()) {
    for (; offered < ((now - begin) / 1000) * perSecond; offered++) calls.push(one(now))
    await delay(CHUNK_MS)
  }
  await Promise.all(calls)
  return { offered, goodput: counted / seconds, inTime: durations.length, late, failed, durations }
}
