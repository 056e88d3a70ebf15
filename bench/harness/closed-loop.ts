/** Has one number handled: every way of dispatching is driven through this shape. */
export type Call = (number: number) => Promise<{ readonly sum?: number }>

/** A measurement begins after this share of its time. */
const WARM_UP_SHARE = 0.2
/** The clock is read once for so many tasks. */
const CLOCK_EVERY = 32

/** Tasks per second with `inFlight` loops, each of which has one task in flight at any time. Checks every result. */
export async function throughput(call: Call, inFlight: number, seconds: number): Promise<number> {
  const warmUntil = performance.now() + seconds * 1000 * WARM_UP_SHARE
  const state = { running: true }
  let next = 0
  let finished = 0
  let from = { at: 0, finished: 0 }
  let until = { at: 0, finished: 0 }
  const readClock = (): void => {
    const at = performance.now()
    if (from.at === 0) {
      if (at >= warmUntil) from = { at, finished }
    } else if (state.running && at - from.at >= seconds * 1000) {
      until = { at, finished }
      state.running = false
    }
  }
  const loop = async (): Promise<void> => {
    try {
      while (state.running) {
        const number = next++
        checkSum(number, await call(number))
        if (++finished % CLOCK_EVERY === 0) readClock()
      }
    } finally {
      state.running = false
    }
  }
  await Promise.all(Array.from({ length: inFlight }, loop))
  return ((until.finished - from.finished) / (until.at - from.at)) * 1000
}

/** Durations in milliseconds of single tasks, one after another. Checks every result. */
export async function roundTrips(call: Call, seconds: number): Promise<number[]> {
  const durations: number[] = []
  const warmUntil = performance.now() + seconds * 1000 * WARM_UP_SHARE
  const until = warmUntil + seconds * 1000
  for (let number = 0, begin = performance.now(); begin < until; number++) {
    const result = await call(number)
    const end = performance.now()
    checkSum(number, result)
    if (begin >= warmUntil) durations.push(end - begin)
    begin = end
  }
  return durations
}

function checkSum(number: number, { sum }: { readonly sum?: number }): void {
  if (sum !== number + 1) throw new Error(`wrong result: ${number} + 1 came back as ${String(sum)}`)
}
