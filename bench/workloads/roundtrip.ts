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

const ROUNDS = 3
/** Rests before each task, in milliseconds: both sides are awake, have just fallen asleep, have long slept. */
const PAUSES = [0, 1, 10, 100]

/** Single tasks, there and back. */
async function run({ pairs, seconds, quick }: Settings): Promise<Outcome> {
  const { peers, missing } = sumPeers(quick)
  const sides = [ours, ...(quick ? [] : oursOtherwise.slice(0, 1)), ...peers]
  await using contenders = await Contenders.start(sides, { workers: 1 })
  const rows: Row[] = []
  const ratios: Record<string, Ratio> = {}
  const groups: Record<'p50Us' | 'p99Us', BarChart['groups'][number][]> = { p50Us: [], p99Us: [] }
  const goals: Goal[] = []
  if (!quick) await inTurn(contenders.running, roundTripAfter(0), 1, seconds)
  for (const pauseMs of quick ? [0] : PAUSES) {
    const measure = roundTripAfter(pauseMs)
    const figures = await inTurn(contenders.running, measure, quick ? 1 : ROUNDS, seconds)
    for (const [{ side }, each] of figures) rows.push(rowOf(measure, side, each, 'rounds'))
    const label = pauseMs === 0 ? 'back to back' : `after ${pauseMs} ms of rest`
    groups.p50Us.push({ label, bars: barsOf(measure, figures) })
    groups.p99Us.push({ label, bars: barsOf({ ...measure, figure: 'p99Us' }, figures) })
    if (pauseMs > 0) continue

    const mine = contenders.of(ours)!
    for (const [other, name, goal] of [
      [bestOf(measure, figures, ({ side }) => side.family === 'piscina'), 'piscina', 0.3],
      [
        bestOf(measure, figures, ({ side }) => side.kind === 'node'),
        'the best Node.js peer',
        undefined,
      ],
      [contenders.of(original), original.name, 0.05],
    ] as const) {
      let ratio: Ratio | undefined
      if (other !== undefined && ratios[other.side.name] === undefined) {
        const pairing = await duel(measure, mine, other, pairs, seconds)
        ratio = ratios[other.side.name] = pairing.ratio
        rows.push(
          rowOf(measure, ours, pairing.ones, 'pairs'),
          rowOf(measure, other.side, pairing.others, 'pairs'),
        )
      }
      if (goal !== undefined)
        goals.push(goalOf(`Median round trip, over that of ${name}`, 'at most', goal, ratio))
    }
  }
  const chart = (title: string, of: 'p50Us' | 'p99Us'): BarChart => ({
    kind: 'bars',
    title,
    unit: 'µs',
    better: 'lower',
    groups: groups[of],
  })
  return {
    results: rows,
    ratios,
    goals,
    charts: [chart('Median', 'p50Us'), chart('99th percentile', 'p99Us')],
    missing: [...missing, ...contenders.missing],
  }
}

const roundTripAfter = (pauseMs: number): Measure => ({
  what: pauseMs === 0 ? 'back to back' : `after ${pauseMs} ms`,
  figure: 'p50Us',
  better: 'lower',
  parameters: { workers: 1, inFlight: 1, pauseMs },
  measure: ({ program }: Contender, seconds) =>
    program.ask({ do: 'roundTrips', seconds, pauseMs } satisfies SumOrder),
})

export const roundTrip: Workload = {
  about: 'single tasks there and back, back to back and after a rest',
  explained:
    'One task at a time is sent to a worker and waited for, at once after the last one or after both sides have rested. Back to back it is the way itself that is measured, after a rest it is mostly how the machine wakes those who sleep.',
  takes: '8 min',
  run,
}
