import { setTimeout as sleep } from 'node:timers/promises'

/** Has one number handled: every way of dispatching is driven through this shape. */
export type Call = (number: number) => Promise<{ readonly sum?: number }>

/** A measurement begins after this share of its time. */
const WARM_UP_SHARE = 0.2
/** The clock is read once for so many tasks. */
const CLOCK_EVERY = 32
/** Fewer single tasks than this have no median worth the name. */
const LEAST_SAMPLES = 20

/** What a closed loop measured. */
export interface Throughput {
  readonly tasksPerSecond: number
  /** Processor time of this process, its threads included, in microseconds for each task. */
  readonly webCpuUsPerTask: number
  /** The processor time alone of the event loop's thread would be less: this is what the machine pays. */
  readonly usPerTask: number
}

interface Mark {
  readonly at: number
  readonly finished: number
  readonly cpuUs: number
}

/** Tasks per second with `inFlight` loops, each of which has one task in flight at any time. Checks every result. */
export async function throughput(
  call: Call,
  inFlight: number,
  seconds: number,
  steps = 1,
): Promise<Throughput> {
  const warmUntil = performance.now() + seconds * 1000 * WARM_UP_SHARE
  const state = { running: true }
  let next = 0
  let finished = 0
  const mark = (): Mark => {
    const { user, system } = process.cpuUsage()
    return { at: performance.now(), finished, cpuUs: user + system }
  }
  let from: Mark | undefined
  let until: Mark | undefined
  const readClock = (): void => {
    const at = performance.now()
    if (from === undefined) {
      if (at >= warmUntil) from = mark()
    } else if (state.running && at - from.at >= seconds * 1000) {
      until = mark()
      state.running = false
    }
  }
  const loop = async (): Promise<void> => {
    try {
      while (state.running) {
        const number = next++
        checkSum(number, steps, await call(number))
        if (++finished % CLOCK_EVERY === 0) readClock()
      }
    } finally {
      state.running = false
    }
  }
  await Promise.all(Array.from({ length: inFlight }, loop))
  const tasks = until!.finished - from!.finished
  const tasksPerSecond = (tasks / (until!.at - from!.at)) * 1000
  return {
    tasksPerSecond,
    usPerTask: 1e6 / tasksPerSecond,
    webCpuUsPerTask: (until!.cpuUs - from!.cpuUs) / tasks,
  }
}

/**
 * Durations in milliseconds of single tasks, one after another, each after a rest of `pauseMs`. Checks every result.
 */
export async function roundTrips(
  call: Call,
  seconds: number,
  { pauseMs = 0, steps = 1 }: { readonly pauseMs?: number; readonly steps?: number } = {},
): Promise<number[]> {
  const durations: number[] = []
  const warmUntil = performance.now() + seconds * 1000 * WARM_UP_SHARE
  const until = warmUntil + seconds * 1000
  for (let number = 0; performance.now() < until || durations.length < LEAST_SAMPLES; number++) {
    if (pauseMs > 0) await sleep(pauseMs)
    const begin = performance.now()
    const result = await call(number)
    const end = performance.now()
    checkSum(number, steps, result)
    if (begin >= warmUntil) durations.push(end - begin)
  }
  return durations
}

function checkSum(number: number, steps: number, { sum }: { readonly sum?: number }): void {
  if (sum !== number + steps) {
    throw new Error(`wrong result: ${number} + ${steps} came back as ${String(sum)}`)
  }
}
