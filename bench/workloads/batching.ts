import type { LineChart } from '../charts/chart.ts'
import { BATCH_SIZE, CALL_MS, CAPACITY, ITEM_MS, idealMedianMs } from '../harness/batch-model.ts'
import type { Arrived } from '../harness/constant-arrivals.ts'
import { reasonOf } from '../harness/contest.ts'
import { rotated } from '../harness/pairs.ts'
import { type Missing, missingPython } from '../harness/peers.ts'
import { Program } from '../harness/program.ts'
import {
  type Goal,
  type Outcome,
  type Row,
  type Settings,
  type Workload,
  goalOf,
  progress,
} from '../harness/report.ts'
import { median, ratioOf } from '../harness/statistics.ts'
import type { BatchOrder, BatchPlan } from '../programs/batch-orders.ts'
import type { LoadPlan } from '../programs/http-load-orders.ts'

/** Shares of what the model alone can do. */
const LOADS = [0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.2]
const ROUNDS = 3
const TIMEOUT_MS = 10
/** At a tenth of the load there are few tasks a second: their median wants some. */
const CALM_SECONDS = 2

interface Side {
  readonly name: string
  readonly way: 'in process' | 'HTTP'
  /** What is asked: the program itself, or a load in front of it. */
  readonly driver: Program
}

const plan = (batchTimeout: number, http: boolean): BatchPlan => ({
  batchTimeout,
  http,
  callMs: CALL_MS,
  itemMs: ITEM_MS,
  batchSize: BATCH_SIZE,
})

/** A model that gains from batches, under constant arrivals from a tenth of what it can do to more than that. */
async function run({ pairs, seconds, quick }: Settings): Promise<Outcome> {
  await using stack = new AsyncDisposableStack()
  const peers = stack.use(new AsyncDisposableStack())
  const missing: Missing[] = []
  const inProcess = async (name: string, starting: Promise<Program>): Promise<Side> => ({
    name,
    way: 'in process',
    driver: peers.use(await starting),
  })
  const overHttp = async (
    name: string,
    starting: Promise<Program<{ readonly port: number }>>,
  ): Promise<Side> => {
    const server = peers.use(await starting)
    const load: LoadPlan = {
      target: { port: server.ready.port, method: 'POST', path: '/predict' },
      type: 'application/json',
      requests: Array.from({ length: 32 }, (_, number) => ({
        body: JSON.stringify({ number }),
        expected: { sum: number + 1 },
      })),
    }
    return { name, way: 'HTTP', driver: peers.use(await Program.node('http-load', load)) }
  }

  const ours: Side = {
    name: 'aqueduct-ts',
    way: 'in process',
    driver: stack.use(await Program.node('batch', plan(0, false))),
  }
  const sides = [ours, await overHttp('aqueduct-ts, Fastify', Program.node('batch', plan(0, true)))]
  const others: [string, () => Promise<Side>][] = [
    [
      `aqueduct-ts, waiting ${TIMEOUT_MS} ms`,
      () =>
        inProcess(
          `aqueduct-ts, waiting ${TIMEOUT_MS} ms`,
          Program.node('batch', plan(TIMEOUT_MS, false)),
        ),
    ],
  ]
  const python: [string, () => Promise<Side>][] = [
    [
      "Avito's Aqueduct",
      () => inProcess("Avito's Aqueduct", Program.python('batch', plan(0, false))),
    ],
    [
      `Avito's Aqueduct, waiting ${TIMEOUT_MS} ms`,
      () =>
        inProcess(
          `Avito's Aqueduct, waiting ${TIMEOUT_MS} ms`,
          Program.python('batch', plan(TIMEOUT_MS, false)),
        ),
    ],
    ['LitServe', () => overHttp('LitServe', Program.python('batch_litserve', plan(0, true)))],
    [
      `LitServe, waiting ${TIMEOUT_MS} ms`,
      () =>
        overHttp(
          `LitServe, waiting ${TIMEOUT_MS} ms`,
          Program.python('batch_litserve', plan(TIMEOUT_MS, true)),
        ),
    ],
    [
      'Mosec, waiting 1 ms',
      () => overHttp('Mosec, waiting 1 ms', Program.python('batch_mosec', plan(1, true))),
    ],
    [
      `Mosec, waiting ${TIMEOUT_MS} ms`,
      () =>
        overHttp(
          `Mosec, waiting ${TIMEOUT_MS} ms`,
          Program.python('batch_mosec', plan(TIMEOUT_MS, true)),
        ),
    ],
  ]
  const noPython = missingPython()
  if (noPython === undefined) others.push(...python)
  else missing.push(...python.map(([name]) => ({ name, reason: noPython })))
  const wanted = others.filter(([name]) => !quick || !name.includes('waiting 10'))
  const starts = await Promise.allSettled(wanted.map(([, open]) => open()))
  for (const [index, started] of starts.entries()) {
    const [name] = wanted[index]!
    if (started.status === 'fulfilled') sides.push(started.value)
    else missing.push({ name, reason: reasonOf(started.reason) })
  }

  const loads = quick ? [0.1, 1.2] : LOADS
  const found = new Map(sides.map((side) => [side, new Map<number, Arrived[]>()]))
  const measure = async (side: Side, load: number, duration: number): Promise<Arrived> => {
    const arrived = await side.driver.ask<Arrived>({
      do: 'openLoop',
      perSecond: load * CAPACITY,
      seconds: duration,
      precise: side.way === 'in process',
    } satisfies BatchOrder)
    // Overload may leave tasks behind; anything else that fails is a broken run.
    if (arrived.failed > 0 && (side === ours || load < 0.9)) {
      throw new Error(
        `${side.name}: ${arrived.failed} tasks failed at ${load} of the load: ${arrived.failure}`,
      )
    }
    return arrived
  }
  for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
    for (const load of loads) {
      progress(`${Math.round(load * 100)} % of what the model can do: round ${round + 1}`)
      for (const side of rotated(sides, round * 3)) {
        const all = found.get(side)!
        const duration = load < 0.2 && !quick ? Math.max(seconds, CALM_SECONDS) : seconds
        all.set(load, [...(all.get(load) ?? []), await measure(side, load, duration)])
      }
    }
  }

  // Servers that nobody asks anything may still look for work all the time.
  await peers.disposeAsync()
  const calm: number[] = []
  const full: { ours: number; theirs: number }[] = []
  const ideal = idealMedianMs(0.1 * CAPACITY)
  for (let pair = 0; pair < pairs; pair++) {
    const { p50Ms } = await measure(ours, 0.1, quick ? seconds : Math.max(seconds, CALM_SECONDS))
    calm.push(p50Ms - ideal)
    const limit = async (): Promise<number> =>
      (await ours.driver.ask<{ perSecond: number }>({ do: 'limit', seconds } satisfies BatchOrder))
        .perSecond
    const mine = async (): Promise<number> => (await measure(ours, 1.2, seconds)).answeredPerSecond
    const first = pair % 2 === 0 ? await limit() : await mine()
    const second = pair % 2 === 0 ? await mine() : await limit()
    full.push(pair % 2 === 0 ? { ours: second, theirs: first } : { ours: first, theirs: second })
    progress(
      `pair ${pair + 1} of ${pairs}: ${calm.at(-1)!.toFixed(3)} ms added, ${(full.at(-1)!.ours / full.at(-1)!.theirs).toFixed(3)} of the model's limit`,
    )
  }
  const reached = ratioOf(full, 'aqueduct-ts with more than the model can do over the model alone')
  const added: Goal = {
    what: 'Added latency at a tenth of the load, median',
    bound: 'at most',
    goal: 0.3,
    unit: 'ms',
    measured: median(calm),
    min: Math.min(...calm),
    max: Math.max(...calm),
    pairs,
  }
  const rows = sides.flatMap((side) =>
    loads.map((load) => rowOf(side, load, found.get(side)!.get(load)!)),
  )
  return {
    results: rows,
    ratios: { limit: reached },
    goals: [goalOf("Throughput over the model's own limit", 'at least', 0.97, reached), added],
    charts: (['in process', 'HTTP'] as const).flatMap((way) => chartsOf(way, sides, loads, found)),
    missing,
  }
}

function rowOf({ name, way }: Side, load: number, arrived: readonly Arrived[]): Row {
  const of = (key: 'answeredPerSecond' | 'p50Ms' | 'p99Ms' | 'lateP50Ms'): number[] =>
    arrived.map((each) => each[key])
  return {
    name,
    way,
    load,
    offeredPerSecond: arrived[0]!.offeredPerSecond,
    answeredPerSecond: median(of('answeredPerSecond')),
    p50Ms: median(of('p50Ms')),
    p50MsMin: Math.min(...of('p50Ms')),
    p50MsMax: Math.max(...of('p50Ms')),
    p99Ms: median(of('p99Ms')),
    idealP50Ms: idealMedianMs(load * CAPACITY),
    driverLateP50Ms: median(of('lateP50Ms')),
    failed: arrived.reduce((sum, { failed }) => sum + failed, 0),
    measurements: arrived.length,
  }
}

function chartsOf(
  way: Side['way'],
  sides: readonly Side[],
  loads: readonly number[],
  found: ReadonlyMap<Side, ReadonlyMap<number, readonly Arrived[]>>,
): LineChart[] {
  const x = { label: '% of what the model can do', scale: 'linear' } as const
  const curve = (side: Side, of: (arrived: Arrived) => number) => ({
    side: side.name,
    points: loads.map((load) => ({
      x: load * 100,
      y: median(found.get(side)!.get(load)!.map(of)),
    })),
  })
  const these = sides.filter((side) => side.way === way)
  const idealLatency = {
    side: 'no overhead at all',
    points: loads.map((load) => ({ x: load * 100, y: idealMedianMs(load * CAPACITY) })),
  }
  const idealThroughput = {
    side: 'no overhead at all',
    points: loads.map((load) => ({ x: load * 100, y: Math.min(load, 1) * CAPACITY })),
  }
  return [
    {
      kind: 'lines',
      title: `Median latency, ${way}`,
      better: 'lower',
      x,
      y: { label: 'ms', scale: 'log' },
      series: [...these.map((side) => curve(side, ({ p50Ms }) => p50Ms)), idealLatency],
    },
    {
      kind: 'lines',
      title: `Throughput, ${way}`,
      better: 'higher',
      x,
      y: { label: 'answers/s', scale: 'linear' },
      series: [
        ...these.map((side) => curve(side, ({ answeredPerSecond }) => answeredPerSecond)),
        idealThroughput,
      ],
    },
  ]
}

export const batching: Workload = {
  about: 'a model that gains from batches, from a tenth of its capacity to more than that',
  explained: `A model that takes ${CALL_MS} ms for a call and ${ITEM_MS} ms for each of up to ${BATCH_SIZE} items gets tasks at a constant rate, fewer and more than it can do. A good batcher adds nothing while there is little to do, and loses nothing when there is too much.`,
  takes: '8 min',
  run,
}
