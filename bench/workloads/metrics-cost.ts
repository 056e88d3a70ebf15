import {
  type Contender,
  Contenders,
  type Figures,
  type Measure,
  rowOf,
} from '../harness/contest.ts'
import { alternatingPairs } from '../harness/pairs.ts'
import { type Outcome, progress } from '../harness/report.ts'
import { ratioOf } from '../harness/statistics.ts'
import { QUEUE_SIZE, type Side } from '../harness/sum-sides.ts'
import { Program } from '../harness/program.ts'
import type { Opened, SumOrder } from '../programs/sum-orders.ts'
import type { SidePlan } from '../sides/side.ts'

const IN_FLIGHT = 64
/** The difference that metrics make is smaller than what a second does to the machine: many short measurements for few long ones. */
const SLICES = 4
/** How the compiler and the memory turn out for a program makes a larger difference than the metrics. */
const STARTS_PER_PAIR = 3

const measure: Measure = {
  what: 'metrics on and off',
  figure: 'usPerTask',
  better: 'lower',
  parameters: { workers: 1, inFlight: IN_FLIGHT },
  measure: ({ program }: Contender, seconds) =>
    program.ask({ do: 'throughput', inFlight: IN_FLIGHT, seconds } satisfies SumOrder),
}

function side(name: string, metrics: boolean): Side {
  const options = { queueSize: QUEUE_SIZE, flow: { metrics } }
  const plan: SidePlan = { side: 'aqueduct', workers: 1, steps: 1, options }
  return {
    family: name,
    name,
    kind: 'ours',
    parameters: { metrics },
    start: () => Program.node<Opened>('sum', plan),
  }
}

/**
 * What a task costs with metrics on and with metrics off. The programs are started anew, three times for each pair of the
 * suite, and each of the two is the first to start as often as the other.
 */
export async function metricsCost(pairs: number, seconds: number): Promise<Outcome> {
  const on = side('aqueduct-ts, metrics on', true)
  const off = side('aqueduct-ts, metrics off', false)
  const measured: { readonly ours: Figures; readonly theirs: Figures }[] = []
  const starts = pairs * STARTS_PER_PAIR
  for (let start = 0; start < starts; start++) {
    const sides = start % 2 === 0 ? [on, off] : [off, on]
    await using contenders = await Contenders.start(sides, { workers: 1 })
    const [one, other] = [contenders.of(on), contenders.of(off)]
    const slice = seconds / SLICES
    // Both have to be compiled before either counts.
    for (const contender of [one!, other!]) await measure.measure(contender, slice)
    const more = await alternatingPairs(
      SLICES,
      () => measure.measure(one!, slice),
      () => measure.measure(other!, slice),
    )
    measured.push(...more)
    progress(`metrics on and off: start ${start + 1} of ${starts}`)
  }
  const ratio = ratioOf(
    measured.map(({ ours, theirs }) => ({
      ours: ours['usPerTask']!,
      theirs: theirs['usPerTask']!,
    })),
    `${on.name} over ${off.name}`,
  )
  const rows = [
    rowOf(
      measure,
      on,
      measured.map(({ ours }) => ours),
      'pairs',
    ),
    rowOf(
      measure,
      off,
      measured.map(({ theirs }) => theirs),
      'pairs',
    ),
  ]
  return { results: rows, ratios: { metrics: ratio } }
}
