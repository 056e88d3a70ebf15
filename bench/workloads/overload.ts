import { Flow, FlowStep } from 'aqueduct-ts'
import { Piscina } from 'piscina'
import { BurnHandler, BurnTask } from '../handlers/burn.ts'
import { type Arrivals, openLoop } from '../harness/open-loop.ts'
import { alternatingPairs } from '../harness/pairs.ts'
import { type Outcome, type Row, type Settings, progress } from '../harness/report.ts'
import { median, quantile, ratioOf } from '../harness/statistics.ts'

const BURN_MS = 10
const DEADLINE_MS = 500
const OVERLOAD = 4
/** A closed loop with so many in flight keeps the worker busy all the time. */
const IN_FLIGHT = 4

/** A way of having a task done by one worker, ready. */
interface Target {
  readonly name: string
  readonly call: () => Promise<unknown>
  /** The same, with the deadline told to the library, if it takes one. */
  readonly callInTime: () => Promise<unknown>
  close(): Promise<void>
}

/** What one target came to: its capacity, and its answers in time at four times that. */
interface Figures {
  readonly capacity: number
  readonly goodput: number
  readonly arrivals: Arrivals
}

/** Answers within the deadline at four times the capacity, against a pool that takes whatever comes. */
export async function overload({ pairs, seconds }: Settings): Promise<Outcome> {
  await using stack = new AsyncDisposableStack()
  const open = (target: Target): Target => stack.adopt(target, (it) => it.close())
  const refusing = open(await aqueduct('refusing', true))
  const waiting = open(await aqueduct('waiting', false))
  const pool = open(unbounded())

  const shares = (name: string) => (pair: number, ours: Figures, theirs: Figures) =>
    progress(
      `${name}: pair ${pair + 1} of ${pairs}: ${share(ours).toFixed(3)} and ${share(theirs).toFixed(3)} of the capacity`,
    )
  for (const target of [refusing, waiting, pool]) await capacityOf(target, 0.5) // compiled
  const measured = await alternatingPairs(
    pairs,
    () => measure(refusing, seconds),
    () => measure(pool, seconds),
    shares('goodput'),
  )
  const waited: Figures[] = []
  for (let round = 0; round < Math.ceil(pairs / 3); round++) {
    waited.push(await measure(waiting, seconds))
    progress(`without refusing: ${share(waited.at(-1)!).toFixed(3)} of the capacity`)
  }
  const ours = measured.map((pair) => pair.ours)
  const theirs = measured.map((pair) => pair.theirs)
  const ratio = (figures: readonly Figures[], name: string) =>
    ratioOf(
      figures.map(({ goodput, capacity }) => ({ ours: goodput, theirs: capacity })),
      `answers in time of ${name} at ${OVERLOAD} times its capacity, over its capacity`,
    )
  return {
    results: [rowOf(refusing, ours), rowOf(waiting, waited), rowOf(pool, theirs)],
    ratios: {
      goodput: ratio(ours, refusing.name),
      goodputWaiting: ratio(waited, waiting.name),
      goodputPeer: ratio(theirs, pool.name),
    },
  }
}

const share = ({ goodput, capacity }: Figures): number => goodput / capacity

async function aqueduct(name: string, refuseLate: boolean): Promise<Target> {
  const flow = new Flow([new FlowStep(BurnHandler)], { refuseLate })
  await flow.start()
  return {
    name: `aqueduct/${name}`,
    call: () => flow.process(new BurnTask(BURN_MS)),
    callInTime: () => flow.process(new BurnTask(BURN_MS), { timeout: DEADLINE_MS }),
    close: () => flow.stop(),
  }
}

function unbounded(): Target {
  const pool = new Piscina<{ readonly ms: number }, unknown>({
    filename: new URL('../handlers/burn-piscina.ts', import.meta.url).href,
    minThreads: 1,
    maxThreads: 1,
    maxQueue: Infinity,
  })
  const call = (): Promise<unknown> => pool.run({ ms: BURN_MS })
  return { name: 'piscina/unbounded', call, callInTime: call, close: () => pool.destroy() }
}

/** Capacity and overload right after one another: what slows the machine down slows both. */
async function measure(target: Target, seconds: number): Promise<Figures> {
  const before = await capacityOf(target, seconds / 2)
  const arrivals = await openLoop(target.callInTime, OVERLOAD * before, seconds, DEADLINE_MS)
  const after = await capacityOf(target, seconds / 2)
  return { capacity: (before + after) / 2, goodput: arrivals.goodput, arrivals }
}

/** Tasks per second of a worker that always has the next one waiting. */
async function capacityOf({ call }: Target, seconds: number): Promise<number> {
  const until = performance.now() + seconds * 1000
  let finished = 0
  const begin = performance.now()
  const loop = async (): Promise<void> => {
    for (; performance.now() < until; finished++) await call()
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, loop))
  return (finished / (performance.now() - begin)) * 1000
}

function rowOf({ name }: Target, figures: readonly Figures[]): Row {
  const of = (figure: (one: Figures) => number): number => median(figures.map(figure))
  return {
    name,
    workers: 1,
    burnMs: BURN_MS,
    deadlineMs: DEADLINE_MS,
    capacityPerSecond: of(({ capacity }) => capacity),
    goodputPerSecond: of(({ goodput }) => goodput),
    offered: of(({ arrivals }) => arrivals.offered),
    inTime: of(({ arrivals }) => arrivals.inTime),
    refused: of(({ arrivals }) => arrivals.failed['AQ_QUEUE_FULL'] ?? 0),
    timedOut: of(({ arrivals }) => arrivals.failed['AQ_TIMEOUT'] ?? 0),
    late: of(({ arrivals }) => arrivals.late),
    p50Ms: of(({ arrivals }) => median(arrivals.durations)),
    p99Ms: of(({ arrivals }) => quantile(arrivals.durations, 0.99)),
    measurements: figures.length,
  }
}
