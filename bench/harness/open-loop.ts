import { setTimeout as delay } from 'node:timers/promises'

/** What became of the tasks of an open loop. */
export interface Arrivals {
  readonly offered: number
  /** Answered within the deadline. */
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
 * Calls at a fixed rate for so long, whatever becomes of the calls; then waits until `settle` has told what is left. Who
 * answers late has not answered.
 */
export async function openLoop(
  call: () => Promise<unknown>,
  perSecond: number,
  seconds: number,
  deadlineMs: number,
): Promise<Arrivals> {
  const begin = performance.now()
  const end = begin + seconds * 1000
  const failed: Record<string, number> = {}
  const durations: number[] = []
  const calls: Promise<void>[] = []
  let offered = 0
  let late = 0
  const one = async (due: number): Promise<void> => {
    try {
      await call()
    } catch (error) {
      const { code, name } = error as { readonly code?: string; readonly name: string }
      failed[code ?? name] = (failed[code ?? name] ?? 0) + 1
      return
    }
    const duration = performance.now() - due
    if (duration <= deadlineMs) durations.push(duration)
    else late++
  }
  for (let now = begin; now < end; now = performance.now()) {
    for (; offered < ((now - begin) / 1000) * perSecond; offered++) calls.push(one(now))
    await delay(CHUNK_MS)
  }
  await Promise.all(calls)
  return { offered, inTime: durations.length, late, failed, durations }
}
