import { type Contender, Contenders, type Measure, duel, rowOf } from '../harness/contest.ts'
import type { Outcome } from '../harness/report.ts'
import { QUEUE_SIZE, type Side } from '../harness/sum-sides.ts'
import { Program } from '../harness/program.ts'
import type { Opened, SumOrder } from '../programs/sum-orders.ts'
import type { SidePlan } from '../sides/side.ts'

const IN_FLIGHT = 64
/** The difference that metrics make is smaller than what a second does to the machine: many short measurements for few long ones. */
const SLICES = 4

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

/** What a task costs with metrics on and with metrics off. */
export async function metricsCost(pairs: number, seconds: number): Promise<Outcome> {
  const sides = [side('aqueduct-ts, metrics on', true), side('aqueduct-ts, metrics off', false)]
  await using contenders = await Contenders.start(sides, { workers: 1 })
  const [on, off] = contenders.running
  // Both have to be compiled before either counts.
  for (const contender of [on!, off!]) await measure.measure(contender, seconds / SLICES)
  const { ratio, ones, others } = await duel(measure, on!, off!, pairs * SLICES, seconds / SLICES)
  return {
    results: [rowOf(measure, on!.side, ones, 'pairs'), rowOf(measure, off!.side, others, 'pairs')],
    ratios: { metrics: ratio },
  }
}
