import type { BarChart, Spread } from '../charts/chart.ts'
import type { Missing } from '../harness/peers.ts'
import { P99_MS } from '../harness/rate-search.ts'
import { type Goal, type Outcome, type Ratio, type Row, goalOf } from '../harness/report.ts'
import type { ServiceSide, Trial } from '../harness/service-side.ts'
import { median, ratioOf } from '../harness/statistics.ts'
import type { Sampled } from '../models/samples.ts'

export const OURS = 'aqueduct-ts'
export const PLAIN = 'plain Fastify'

/** What a round found of a side: its highest rate, and the light route at that of plain Fastify. */
export interface Round {
  readonly best: Trial | undefined
  atPlain?: Trial
}

/** What the rounds say: ratios, targets, charts. */
export function outcomeOf(
  model: Sampled['model'],
  found: ReadonlyMap<ServiceSide, readonly Round[]>,
  rows: readonly Row[],
  missing: readonly Missing[],
): Outcome {
  const roundsOf = (family: string): readonly Round[] =>
    [...found].find(([{ setup }]) => setup.family === family)?.[1] ?? []
  const ratio = (
    other: string,
    what: string,
    value: (round: Round) => number | undefined,
  ): Ratio | undefined => {
    const ours = roundsOf(OURS).map(value)
    const theirs = roundsOf(other).map(value)
    const both = ours.flatMap((each, index) => {
      const their = theirs[index]
      // Ours that keeps no rate counts as 0; over a peer that keeps none there is no ratio.
      return each === undefined || their === undefined || their === 0
        ? []
        : [{ ours: each, theirs: their }]
    })
    return both.length === 0 ? undefined : ratioOf(both, `${what}: ${OURS} over ${other}`)
  }
  const ratios: Record<string, Ratio> = {}
  const keep = (name: string, of: Ratio | undefined): Ratio | undefined => {
    if (of !== undefined) ratios[`${model}/${name}`] = of
    return of
  }
  const families = [...found.keys()].map(({ setup }) => setup.family)
  const goals: Goal[] = []
  for (const other of new Set([...families, ...missing.map(({ name }) => name)])) {
    if (other === OURS) continue
    const rate = keep(
      `rate/${other}`,
      ratio(other, 'requests per second', ({ best }) => best?.perSecond ?? 0),
    )
    const least = other === PLAIN && model === 'digits' ? 1.8 : 1
    goals.push(
      goalOf(
        `${model}: requests per second within ${P99_MS} ms, over ${other}`,
        'at least',
        least,
        rate,
      ),
    )
  }
  for (const [what, value] of [
    ['each at its own highest rate', ({ best }: Round) => best?.light.p99Ms],
    ['both at its rate', ({ atPlain }: Round) => atPlain?.light.p99Ms],
  ] as const) {
    const light = keep(
      `light/${what}`,
      ratio(PLAIN, `99th percentile of the light route, ${what}`, value),
    )
    goals.push(
      goalOf(
        `${model}: 99th percentile of the light route over plain Fastify's, ${what}`,
        'at most',
        0.1,
        light,
      ),
    )
  }
  const bar =
    (value: (round: Round) => number | undefined) =>
    (family: string): (Spread & { side: string })[] => {
      const values = roundsOf(family)
        .map(value)
        .filter((each) => each !== undefined)
      if (values.length === 0) return []
      return [
        { side: family, value: median(values), min: Math.min(...values), max: Math.max(...values) },
      ]
    }
  const name = model === 'digits' ? 'the digits model' : 'a network like MobileNetV2'
  return {
    results: rows,
    ratios,
    goals,
    charts: [
      chart(`Requests per second within a p99 of ${P99_MS} ms, ${name}`, 'requests/s', 'higher', [
        { label: '', bars: families.flatMap(bar(({ best }) => best?.perSecond ?? 0)) },
      ]),
      chart(`99th percentile of an unrelated light route, ${name}`, 'ms', 'lower', [
        {
          label: 'each at its own highest rate',
          bars: families.flatMap(bar(({ best }) => best?.light.p99Ms)),
        },
        {
          label: "all at plain Fastify's rate",
          bars: families.flatMap(bar(({ atPlain }) => atPlain?.light.p99Ms)),
        },
      ]),
    ],
    missing,
  }
}

const chart = (
  title: string,
  unit: string,
  better: BarChart['better'],
  groups: BarChart['groups'],
): BarChart => ({
  kind: 'bars',
  title,
  unit,
  better,
  groups,
})
