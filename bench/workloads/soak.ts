import { setTimeout as delay } from 'node:timers/promises'
import { Flow, FlowStep } from 'aqueduct-ts'
import {
  DECODED,
  Decode,
  REPORT_BYTES,
  Reduce,
  Report,
  ResizeTask,
  check,
  sign,
} from '../handlers/resize.ts'
import { type Outcome, type Settings, progress } from '../harness/report.ts'

const KIB = 1024
const MIB = 2 ** 20
const LEAST_BODY = KIB
const MOST_BODY = 4 * MIB
/** The largest body and what becomes of it are 12 MiB; the steps after the first may not have a sixth of the memory. */
const ARENA_BYTES = 20 * MIB
const LOAD = 0.9
const TIMEOUT_MS = 60_000
/** Tasks in flight while the capacity is measured, and while the load is 90 % of it. */
const IN_FLIGHT = 16
const MAX_PENDING = 256
/** Waited for memory: longer on the way in and between steps than it takes to be copied. */
const WAIT_MS = 20
const CHUNK_MS = 5
const CAPACITY_SHARE = 0.05

/** What became of the tasks so far. */
class Books {
  admitted = 0
  completed = 0
  bytes = 0
  waited = 0
  longestMs = 0
  readonly failed: Record<string, number> = {}
  /** When tasks were completed, in milliseconds since the beginning. */
  readonly completions: number[] = []
}

/**
 * Bodies from 1 KiB to 4 MiB through three steps whose results differ in size, at 90 % of the capacity, in an arena that
 * is hardly larger than the largest task: whether the memory ever fragments, starves anybody or wedges.
 */
export async function soak({ seconds }: Settings): Promise<Outcome> {
  await using flow = new Flow(
    [Decode, Reduce, Report].map((handler) => new FlowStep(handler, { queueSize: MAX_PENDING })),
    { memory: ARENA_BYTES, maxPending: MAX_PENDING },
  )
  await flow.start()
  const random = makeRandom(1)
  let seed = 0
  const one = async (books: Books, begin: number): Promise<void> => {
    const length = Math.floor(LEAST_BODY * (MOST_BODY / LEAST_BODY) ** random())
    const id = seed++
    using task = new ResizeTask(id, sign(new Uint8Array(length), id))
    const submitted = performance.now()
    try {
      books.admitted++
      await flow.process(task, { timeout: TIMEOUT_MS })
      check(task.report, id, REPORT_BYTES)
      const { steps, totalMs } = task.timings!
      const busyMs = steps.reduce(
        (sum, { queueMs, batchMs, handleMs }) => sum + queueMs + batchMs + handleMs,
        0,
      )
      if (totalMs - busyMs > WAIT_MS) books.waited++
      books.completed++
      books.bytes += length
      books.completions.push(performance.now() - begin)
    } catch (error) {
      const { code, name } = error as { readonly code?: string; readonly name: string }
      books.failed[code ?? name] = (books.failed[code ?? name] ?? 0) + 1
    }
    books.longestMs = Math.max(books.longestMs, performance.now() - submitted)
  }

  const capacity = await closedLoop(one, Math.max(2, seconds * CAPACITY_SHARE))
  progress(`capacity: ${capacity.toFixed(1)} tasks per second`)
  const books = new Books()
  await openLoop(one, books, LOAD * capacity, seconds)
  const { tasks, memory } = flow.stats()
  const refused = books.failed['AQ_QUEUE_FULL'] ?? 0
  const { completed, completions } = books
  const minute = Math.min(60_000, (seconds * 1000) / 2)
  const lastMs = completions.at(-1) ?? 0
  const perSecond = (from: number, to: number): number =>
    (completions.filter((at) => at >= from && at < to).length / (to - from)) * 1000
  return {
    results: [
      {
        name: 'aqueduct/soak',
        seconds,
        arenaBytes: ARENA_BYTES,
        leastBodyBytes: LEAST_BODY,
        mostBodyBytes: MOST_BODY,
        mostDecodedBytes: MOST_BODY * DECODED,
        capacityPerSecond: capacity,
        offeredPerSecond: LOAD * capacity,
        admitted: books.admitted - refused,
        completed,
        bodyBytes: books.bytes,
        refused,
        failed: books.failed,
        waitedForMemory: books.waited,
        longestWaitMs: books.longestMs,
        firstMinutePerSecond: perSecond(0, minute),
        lastMinutePerSecond: perSecond(lastMs - minute, lastMs),
        blocksInUse: memory.blocksInUse,
        wedged: tasks.pending,
      },
    ],
    ratios: {},
  }
}

type One = (books: Books, begin: number) => Promise<void>

async function closedLoop(one: One, seconds: number): Promise<number> {
  const books = new Books()
  const begin = performance.now()
  const until = begin + seconds * 1000
  const loop = async (): Promise<void> => {
    while (performance.now() < until) await one(books, begin)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, loop))
  return (books.completed / (performance.now() - begin)) * 1000
}

/** Arrivals at a fixed rate; then as long as it takes until each has its outcome, which its timeout bounds. */
async function openLoop(one: One, books: Books, rate: number, seconds: number): Promise<void> {
  const begin = performance.now()
  const until = begin + seconds * 1000
  const calls = new Set<Promise<void>>()
  let offered = 0
  let told = begin
  for (let now = begin; now < until; now = performance.now()) {
    for (; offered < ((now - begin) / 1000) * rate; offered++) {
      const call = one(books, begin).finally(() => calls.delete(call))
      calls.add(call)
    }
    if (now - told > 30_000) {
      told = now
      progress(
        `${books.completed} of ${offered} completed, the longest after ${Math.round(books.longestMs)} ms`,
      )
    }
    await delay(CHUNK_MS)
  }
  await Promise.all(calls)
}

/** The same numbers in every run. */
function makeRandom(start: number): () => number {
  let state = start
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
