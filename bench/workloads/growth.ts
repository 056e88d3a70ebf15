import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Contender,
  Contenders,
  type Figures,
  type Measure,
  inTurn,
  rowOf,
} from '../harness/contest.ts'
import { residentMemory } from '../harness/proc.ts'
import { Program } from '../harness/program.ts'
import {
  type Goal,
  type Outcome,
  type Ratio,
  type Row,
  type Settings,
  type Workload,
  progress,
} from '../harness/report.ts'
import { rotated } from '../harness/pairs.ts'
import { median, ratioOf, slope } from '../harness/statistics.ts'
import { QUEUE_SIZE, type Side, ours, promisesAlone } from '../harness/sum-sides.ts'
import type { Opened, SumOrder } from '../programs/sum-orders.ts'
import type { SidePlan } from '../sides/side.ts'

const PENDING = [10, 100, 1_000, 10_000, 100_000]
/** The target compares these two. */
const [FEW, MANY] = [100, 100_000]
const WORKERS = [1, 2, 4, 8, 16]
const BUSY = 64
/** Parts of the long run that are compared with one another. */
const WINDOWS = 20

/** The same library with room for many. */
const roomy: Side = {
  ...ours,
  start: ({ workers, steps = 1 }) =>
    Program.node<Opened>('sum', {
      side: 'aqueduct',
      workers,
      steps,
      options: { queueSize: QUEUE_SIZE, timeout: 60_000, flow: { maxPending: MANY } },
    } satisfies SidePlan),
}

/** Cost per task as there are more tasks, more workers, and more time. */
async function run({ pairs, seconds, minutes, quick }: Settings): Promise<Outcome> {
  const pending = await morePending(quick ? [FEW, 1_000] : PENDING, pairs, seconds)
  const workers = await moreWorkers(quick ? [1, 2] : WORKERS, quick ? 1 : 3, seconds)
  const time = await moreTime(minutes)
  return {
    results: [...pending.results, ...workers.results, ...time.results],
    ratios: { ...pending.ratios, ...time.ratios },
    goals: [...(pending.goals ?? []), ...(time.goals ?? [])],
    charts: [...(pending.charts ?? []), ...(workers.charts ?? []), ...(time.charts ?? [])],
  }
}

async function morePending(
  counts: readonly number[],
  pairs: number,
  seconds: number,
): Promise<Outcome> {
  const rows: Row[] = []
  await using contenders = await Contenders.start([roomy, promisesAlone], { workers: 1 })
  const found = new Map(
    contenders.running.map((contender) => [
      contender,
      new Map<number, Figures[]>(counts.map((count) => [count, []])),
    ]),
  )
  for (const contender of contenders.running) await pendingOf(FEW).measure(contender, seconds)
  for (let round = 0; round < pairs; round++) {
    progress(`more tasks: round ${round + 1} of ${pairs}`)
    for (const count of round % 2 === 0 ? counts : counts.toReversed())
      for (const contender of rotated(contenders.running, round))
        found
          .get(contender)!
          .get(count)!
          .push(await pendingOf(count).measure(contender, seconds))
  }
  for (const [{ side }, byCount] of found)
    for (const [count, figures] of byCount)
      rows.push(rowOf(pendingOf(count), side, figures, 'rounds'))
  const most = counts.at(-1)!
  const growthOf = (side: Side): Ratio => {
    const byCount = found.get(contenders.of(side)!)!
    const few = byCount.get(FEW)!
    return ratioOf(
      byCount.get(most)!.map((each, round) => ({
        ours: each['usPerTask']!,
        theirs: few[round]!['usPerTask']!,
      })),
      `${side.name}: cost of a task with ${most.toLocaleString('en')} pending over that with ${FEW}`,
    )
  }
  const cost = growthOf(roomy)

  // Memory in a process of its own, whose heap has not been through the rounds.
  const bytes: { x: number; y: number }[] = []
  for (const count of counts) {
    await using fresh = await Contenders.start([roomy], { workers: 1 })
    const { program } = fresh.running[0]!
    const answer = await program.ask<{ bytesPerPending: number; idleBytes: number }>({
      do: 'pending',
      pending: count,
    } satisfies SumOrder)
    rows.push({ name: 'aqueduct-ts, memory of what is pending', pending: count, ...answer })
    bytes.push({ x: count, y: answer.bytesPerPending })
  }
  return {
    results: rows,
    ratios: { pending: cost, 'pending/promises': growthOf(promisesAlone) },
    goals: [flat(`Cost per task, ${most.toLocaleString('en')} pending over ${FEW}`, cost)],
    charts: [
      {
        kind: 'lines',
        title: 'Cost of a task by the number of pending tasks',
        better: 'lower',
        x: { label: 'tasks pending', scale: 'log' },
        y: { label: 'µs per task', scale: 'linear' },
        series: [...found].map(([{ side }, byCount]) => ({
          side: side.family,
          points: [...byCount].map(([x, figures]) => ({
            x,
            y: median(figures.map((each) => each['usPerTask']!)),
          })),
        })),
      },
      {
        kind: 'lines',
        title: 'Memory of the web process for each pending task',
        better: 'lower',
        x: { label: 'tasks pending', scale: 'log' },
        y: { label: 'bytes', scale: 'linear' },
        series: [{ side: ours.family, points: bytes.filter(({ x }) => x >= 1000) }],
      },
    ],
  }
}

async function moreWorkers(
  counts: readonly number[],
  rounds: number,
  seconds: number,
): Promise<Outcome> {
  const flows = await Promise.all(counts.map((workers) => Contenders.start([ours], { workers })))
  try {
    const running = flows.map((flow) => flow.running[0]!)
    const measure = { ...pendingOf(BUSY), what: 'more workers' }
    await inTurn(running, measure, 1, seconds)
    const figures = await inTurn(running, measure, rounds, seconds)
    return {
      results: counts.map((workers, index) => ({
        ...rowOf(measure, ours, figures.get(running[index]!)!, 'rounds'),
        workers,
      })),
      ratios: {},
      charts: [
        {
          kind: 'lines',
          title: `Cost of a task by the number of workers, ${BUSY} in flight`,
          better: 'lower',
          x: { label: 'workers', scale: 'linear' },
          y: { label: 'µs per task', scale: 'linear' },
          series: [
            {
              side: ours.family,
              points: counts.map((x, index) => ({
                x,
                y: median(figures.get(running[index]!)!.map((each) => each['usPerTask']!)),
              })),
            },
          ],
        },
      ],
    }
  } finally {
    await Promise.all(flows.map((flow) => flow[Symbol.asyncDispose]()))
  }
}

/** One flow, never stopped: as fast at the end as at the beginning, and no larger. */
async function moreTime(minutes: number): Promise<Outcome> {
  await using contenders = await Contenders.start([ours], { workers: 1 })
  const { program } = contenders.running[0]!
  const windowSeconds = (minutes * 60) / WINDOWS / 1.2 // the first fifth of each is not measured
  const cost: { x: number; y: number }[] = []
  const memory: { x: number; y: number }[] = []
  const began = performance.now()
  for (let window = 0; window < WINDOWS; window++) {
    if (window % 5 === 0)
      progress(`up for ${((performance.now() - began) / 60_000).toFixed(1)} of ${minutes} minutes`)
    const { usPerTask } = await program.ask<{ usPerTask: number }>({
      do: 'throughput',
      inFlight: BUSY,
      seconds: windowSeconds,
    } satisfies SumOrder)
    const x = (performance.now() - began) / 60_000
    cost.push({ x, y: usPerTask })
    const all = [program.pid, ...program.ready.workers]
    await sleep(0)
    memory.push({
      x,
      y: all.reduce((sum, pid) => sum + (residentMemory(pid)?.anonBytes ?? 0), 0) / 2 ** 20,
    })
  }
  // The first twentieth is where the engines compile: the second to sixth against the last five.
  const early = cost.slice(1, 6)
  const late = cost.slice(-5)
  const ratio = ratioOf(
    late.map(({ y }, index) => ({ ours: y, theirs: early[index]!.y })),
    'cost of a task in the last quarter over that in the first',
  )
  return {
    results: [
      {
        name: 'aqueduct-ts, up for long',
        minutes,
        inFlight: BUSY,
        usPerTaskFirst: median(early.map(({ y }) => y)),
        usPerTaskLast: median(late.map(({ y }) => y)),
        anonMiBFirst: memory[1]!.y,
        anonMiBLast: memory.at(-1)!.y,
        anonMiBPerMinute: slope(memory.slice(WINDOWS / 2)),
      },
    ],
    ratios: { drift: ratio },
    goals: [flat(`Cost per task after ${minutes} minutes over that at the beginning`, ratio)],
    charts: [
      {
        kind: 'lines',
        title: 'Cost of a task over time',
        better: 'lower',
        x: { label: 'minutes', scale: 'linear' },
        y: { label: 'µs per task', scale: 'linear' },
        series: [{ side: ours.family, points: cost }],
      },
      {
        kind: 'lines',
        title: 'Own memory of all processes over time',
        better: 'lower',
        x: { label: 'minutes', scale: 'linear' },
        y: { label: 'MiB', scale: 'linear' },
        series: [{ side: ours.family, points: memory }],
      },
    ],
  }
}

/** Flat within a tenth. */
const flat = (
  what: string,
  { median: measured, min, max, pairs }: ReturnType<typeof ratioOf>,
): Goal => ({
  what,
  bound: 'at most',
  goal: 1.1,
  unit: 'times',
  measured,
  min,
  max,
  pairs,
})

const pendingOf = (pending: number): Measure => ({
  what: `${pending} pending`,
  figure: 'usPerTask',
  better: 'lower',
  parameters: { pending },
  measure: ({ program }: Contender, seconds) =>
    program.ask({ do: 'throughput', inFlight: pending, seconds } satisfies SumOrder),
})

export const growth: Workload = {
  about: 'cost and memory with 10 to 100,000 tasks pending, 1 to 16 workers, and after 10 minutes',
  explained:
    'One flow is given more and more tasks at once (beside it promises that nobody works for, which show what the engine takes for whatever is pending), another more and more workers, a third is kept busy for ten minutes. A task should cost the same at every size and at the end as at the beginning.',
  takes: '13 min',
  run,
}
