import type { BarChart } from '../charts/chart.ts'
import {
  type Contender,
  Contenders,
  type Measure,
  barsOf,
  bestOf,
  duel,
  inTurn,
  rowOf,
} from '../harness/contest.ts'
import {
  type Goal,
  type Outcome,
  type Ratio,
  type Row,
  type Settings,
  type Workload,
  goalOf,
} from '../harness/report.ts'
import { ours, original, oursOtherwise, sumPeers } from '../harness/sum-sides.ts'
import type { SumOrder } from '../programs/sum-orders.ts'
import { metricsCost } from './metrics-cost.ts'

const ROUNDS = 3
/** Share of `--seconds` that a measurement of the rounds takes; those of the pairs take all of it. */
const ROUND_SHARE = 0.4
/** Where the targets are. */
const TARGET = { workers: 1, inFlight: 64 }

/** Small tasks through workers and back, against every pool that can do it. */
async function run({ pairs, seconds, quick }: Settings): Promise<Outcome> {
  const { peers, missing } = sumPeers(quick)
  const sides = [ours, ...(quick ? [] : oursOtherwise), ...peers]
  const rows: Row[] = []
  const ratios: Record<string, Ratio> = {}
  const goals: Goal[] = []
  const charts: BarChart[] = []
  const notThere = [...missing]
  for (const workers of quick ? [1] : [1, 2]) {
    await using contenders = await Contenders.start(sides, { workers })
    if (workers === 1) notThere.push(...contenders.missing)
    // What is not compiled yet is not measured.
    if (!quick) await inTurn(contenders.running, throughputOf(workers, 64), 1, seconds)
    const groups: BarChart['groups'][number][] = []
    for (const inFlight of quick ? [64] : [1, 16, 64, 512]) {
      const measure = throughputOf(workers, inFlight)
      const figures = await inTurn(
        contenders.running,
        measure,
        quick ? 1 : ROUNDS,
        seconds * ROUND_SHARE,
      )
      groups.push({ label: `${inFlight} in flight`, bars: barsOf(measure, figures) })
      for (const [{ side }, each] of figures) rows.push(rowOf(measure, side, each, 'rounds'))
      if (workers !== TARGET.workers || inFlight < TARGET.inFlight) continue

      const mine = contenders.of(ours)!
      const best = bestOf(measure, figures, ({ side }) => side.kind === 'node')!
      const python = inFlight === TARGET.inFlight ? contenders.of(original) : undefined
      for (const other of [best, python]) {
        const what =
          other === best
            ? `${inFlight} in flight, over the best Node.js peer`
            : `${inFlight} in flight, over Avito's Aqueduct`
        let ratio: Ratio | undefined
        if (other !== undefined) {
          const pairing = await duel(measure, mine, other, pairs, seconds)
          ratio = ratios[`throughput${inFlight}/${other.side.name}`] = pairing.ratio
          rows.push(
            rowOf(measure, ours, pairing.ones, 'pairs'),
            rowOf(measure, other.side, pairing.others, 'pairs'),
          )
        }
        if (inFlight === TARGET.inFlight)
          goals.push(
            goalOf(`Tasks per second, ${what}`, 'at least', other === best ? 4 : 50, ratio),
          )
      }
    }
    charts.push({
      kind: 'bars',
      title: `An empty handler, ${workers === 1 ? 'one worker' : `${workers} workers`}`,
      unit: 'tasks/s',
      better: 'higher',
      groups,
    })
  }
  const metrics = await metricsCost(pairs, seconds)
  return {
    results: [...rows, ...metrics.results],
    ratios: { ...ratios, ...metrics.ratios },
    goals,
    charts,
    missing: notThere,
  }
}

function throughputOf(workers: number, inFlight: number): Measure {
  return {
    what: `${workers} ${workers === 1 ? 'worker' : 'workers'}, ${inFlight} in flight`,
    figure: 'tasksPerSecond',
    better: 'higher',
    parameters: { workers, inFlight },
    measure: ({ program }: Contender, seconds) =>
      program.ask({ do: 'throughput', inFlight, seconds } satisfies SumOrder),
  }
}

export const dispatch: Workload = {
  about: 'small tasks through one and two workers, beside every pool that can do it',
  explained:
    'A caller keeps 1, 16, 64 or 512 tasks in flight, each of which adds one to a number in a worker. The work is nothing, so what is left is what a library takes for the way there and back.',
  takes: '6 min',
  run,
}
