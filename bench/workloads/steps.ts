import {
  type Contender,
  Contenders,
  type Figures,
  type Measure,
  inTurn,
  rowOf,
} from '../harness/contest.ts'
import { missingPython } from '../harness/peers.ts'
import {
  type Goal,
  type Outcome,
  type Row,
  type Settings,
  type Workload,
} from '../harness/report.ts'
import { median } from '../harness/statistics.ts'
import { type Side, ours, original, oursOtherwise } from '../harness/sum-sides.ts'
import type { SumOrder } from '../programs/sum-orders.ts'

const STEPS = [1, 2, 4, 8]
const BUSY = 64

/** What each further step costs, for the task and for the web process. */
async function run({ pairs, seconds, quick }: Settings): Promise<Outcome> {
  const counts = quick ? [1, 2] : STEPS
  const noPython = missingPython()
  const sides = [ours, oursOtherwise[0]!, ...(noPython === undefined ? [original] : [])]
  const rows: Row[] = []
  const series = sides.map((side) => ({ side: side.family, points: [] as Point[] }))
  const webSeries = sides.map((side) => ({ side: side.family, points: [] as Point[] }))
  const perStep: StepCost[] = []
  const missing = noPython === undefined ? [] : [{ name: original.name, reason: noPython }]

  for (const [index, side] of sides.entries()) {
    // One length after another in each round, so that what slows the machine slows all of them.
    const flows = await Promise.all(
      counts.map((steps) => Contenders.start([side], { workers: 1, steps })),
    )
    try {
      const running = flows.map((flow) => flow.running[0]).filter((it) => it !== undefined)
      if (running.length < counts.length) {
        missing.push(...flows.flatMap((flow) => flow.missing))
        continue
      }
      if (!quick) await inTurn(running, throughputOf(side), 1, seconds)
      const rounds = side === ours ? pairs : Math.min(pairs, 3)
      const trips = await inTurn(running, roundTripOf(side), rounds, seconds)
      const busy = await inTurn(running, throughputOf(side), rounds, seconds)
      const at = (figures: typeof trips, position: number, key: string): number[] =>
        figures.get(running[position]!)!.map((each: Figures) => each[key]!)
      counts.forEach((steps, position) => {
        const contender = running[position]!
        rows.push(
          { ...rowOf(roundTripOf(side), contender.side, trips.get(contender)!, 'rounds'), steps },
          { ...rowOf(throughputOf(side), contender.side, busy.get(contender)!, 'rounds'), steps },
        )
        series[index]!.points.push({ x: steps, y: median(at(trips, position, 'p50Us')) })
        webSeries[index]!.points.push({
          x: steps,
          y: median(at(busy, position, 'webCpuUsPerTask')),
        })
      })
      const costs = (figures: typeof trips, key: string, position: number): number[] => {
        const [few, many] = [at(figures, 0, key), at(figures, position, key)]
        const further = counts[position]! - counts[0]!
        return many.map((each, round) => (each - few[round]!) / further)
      }
      for (let position = 1; position < counts.length; position++) {
        perStep.push({
          side,
          steps: counts[position]!,
          us: costs(trips, 'p50Us', position),
          webUs: costs(busy, 'webCpuUsPerTask', position),
        })
      }
    } finally {
      await Promise.all(flows.map((flow) => flow[Symbol.asyncDispose]()))
    }
  }
  for (const { side, steps: length, us, webUs } of perStep) {
    rows.push({
      name: `${side.name}, a further step of ${length}`,
      steps: length,
      perStepUs: median(us),
      perStepUsMin: Math.min(...us),
      perStepUsMax: Math.max(...us),
      webCpuUs: median(webUs),
      webCpuUsMin: Math.min(...webUs),
      webCpuUsMax: Math.max(...webUs),
      measurements: us.length,
    })
  }
  const mine = perStep.filter(({ side }) => side === ours)
  return {
    results: rows,
    ratios: {},
    goals: [
      ...mine.map(({ steps: length, us }) =>
        goal(`A further step of ${length}, median round trip`, 10, us),
      ),
      // It does not touch the task in between; what is left is that it wakes up for fewer tasks at a time.
      goal('A further step, processor time of the web process per task', 0.5, mine.at(-1)!.webUs),
    ],
    charts: [
      {
        kind: 'lines',
        title: 'Median round trip, back to back',
        better: 'lower',
        x: { label: 'steps', scale: 'linear' },
        y: { label: 'µs', scale: 'log' },
        series,
      },
      {
        kind: 'lines',
        title: `Processor time of the web process per task, ${BUSY} in flight`,
        better: 'lower',
        x: { label: 'steps', scale: 'linear' },
        y: { label: 'µs', scale: 'log' },
        series: webSeries,
      },
    ],
    missing,
  }
}

/** At most so much, in the median of the rounds. */
const goal = (what: string, most: number, values: readonly number[]): Goal => ({
  what,
  bound: 'at most',
  goal: most,
  unit: 'µs',
  measured: median(values),
  min: Math.min(...values),
  max: Math.max(...values),
  pairs: values.length,
})

/** What each step after the first cost in a flow of so many, round by round. */
interface StepCost {
  readonly side: Side
  readonly steps: number
  readonly us: readonly number[]
  readonly webUs: readonly number[]
}

interface Point {
  readonly x: number
  readonly y: number
}

const roundTripOf = (side: Side): Measure => ({
  what: `${side.name}, one at a time`,
  figure: 'p50Us',
  better: 'lower',
  parameters: { inFlight: 1 },
  measure: ({ program }: Contender, seconds) =>
    program.ask({ do: 'roundTrips', seconds, pauseMs: 0 } satisfies SumOrder),
})

const throughputOf = (side: Side): Measure => ({
  what: `${side.name}, ${BUSY} in flight`,
  figure: 'tasksPerSecond',
  better: 'higher',
  parameters: { inFlight: BUSY },
  measure: ({ program }: Contender, seconds) =>
    program.ask({ do: 'throughput', inFlight: BUSY, seconds } satisfies SumOrder),
})

export const steps: Workload = {
  about: 'flows of 1, 2, 4 and 8 steps: what each further step costs',
  explained:
    'The same task goes through one to eight steps, each in a worker of its own that hands it straight to the next. A further step should cost some microseconds, and the web process nothing.',
  takes: '2 min',
  run,
}
