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
    const finals: { inFlight: number; measure: Measure; best: Contender }[] = []
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
      const best = bestOf(measure, figures, ({ side }) => side.kind === 'node')
      if (best !== undefined) finals.push({ inFlight, measure, best })
    }
    charts.push({
      kind: 'bars',
      title: `An empty handler, ${workers === 1 ? 'one worker' : `${workers} workers`}`,
      unit: 'tasks/s',
      better: 'higher',
      groups,
    })
    if (finals.length === 0) continue

    const mine = contenders.of(ours)!
    const python = contenders.of(original)
    const decide = async (
      { inFlight, measure }: { inFlight: number; measure: Measure },
      other: Contender,
    ): Promise<Ratio> => {
      const pairing = await duel(measure, mine, other, pairs, seconds)
      rows.push(
        rowOf(measure, ours, pairing.ones, 'pairs'),
        rowOf(measure, other.side, pairing.others, 'pairs'),
      )
      return (ratios[`throughput${inFlight}/${other.side.name}`] = pairing.ratio)
    }
    const bests = finals.map(({ best }) => best)
    await contenders.keep([mine, ...bests, ...(python === undefined ? [] : [python])])
    const overPython = python && (await decide(finals[0]!, python))
    await contenders.keep([mine, ...bests])
    for (const final of finals) {
      const overBest = await decide(final, final.best)
      const what = `Tasks per second, ${final.inFlight} in flight, over`
      if (final.inFlight !== TARGET.inFlight) continue
      goals.push(
        goalOf(`${what} the best Node.js peer`, 'at least', 4, overBest),
        goalOf(`${what} Avito's Aqueduct`, 'at least', 50, overPython),
      )
    }
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
