import type { Spread } from '../charts/chart.ts'
import type { Opened } from '../programs/sum-orders.ts'
import { alternatingPairs, rotated } from './pairs.ts'
import { type Missing } from './peers.ts'
import type { Program } from './program.ts'
import { type Ratio, type Row, progress } from './report.ts'
import { median, ratioOf } from './statistics.ts'
import type { Shape, Side } from './sum-sides.ts'

/** What was measured once: figures by name, the unit of each in its name. */
export type Figures = Readonly<Record<string, number>>

/** A side that runs. */
export interface Contender {
  readonly side: Side
  readonly program: Program<Opened>
}

/** What is measured, and which of its figures decides. */
export interface Measure {
  readonly what: string
  readonly figure: string
  readonly better: 'higher' | 'lower'
  readonly parameters: Readonly<Record<string, unknown>>
  measure(contender: Contender, seconds: number): Promise<Figures>
}

/** The sides that compete, each in a process of its own. */
export class Contenders implements AsyncDisposable {
  readonly running: Contender[] = []
  readonly missing: Missing[] = []

  /** Starts all that can be; one that does not start is named as missing. */
  static async start(sides: readonly Side[], shape: Shape): Promise<Contenders> {
    const contenders = new Contenders()
    const starts = await Promise.allSettled(sides.map((side) => side.start(shape)))
    const broken: unknown[] = []
    for (const [index, start] of starts.entries()) {
      const side = sides[index]!
      if (start.status === 'fulfilled') contenders.running.push({ side, program: start.value })
      else if (side.kind === 'ours') broken.push(start.reason)
      else contenders.missing.push({ name: side.name, reason: reasonOf(start.reason) })
    }
    // Ours has to run: a broken run must not look like a slow one.
    if (broken.length > 0) {
      await contenders[Symbol.asyncDispose]()
      throw broken[0]
    }
    return contenders
  }

  of(side: Side): Contender | undefined {
    return this.running.find((contender) => contender.side === side)
  }

  /** Ends all others: programs that nobody asks anything may still look for work all the time. */
  async keep(contenders: readonly Contender[]): Promise<void> {
    const others = this.running.filter((it) => !contenders.includes(it))
    this.running.splice(0, Infinity, ...this.running.filter((it) => contenders.includes(it)))
    await Promise.all(others.map(({ program }) => program.close()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.keep([])
  }
}

/** Why a peer could not be measured, in a line. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.trim().split('\n').slice(-3).join(' · ')
}

/** Several rounds of all in turn, each round beginning with another. */
export async function inTurn(
  contenders: readonly Contender[],
  measure: Measure,
  rounds: number,
  seconds: number,
): Promise<ReadonlyMap<Contender, readonly Figures[]>> {
  const figures = new Map(contenders.map((it): [Contender, Figures[]] => [it, []]))
  for (let round = 0; round < rounds; round++) {
    progress(`${measure.what}: round ${round + 1} of ${rounds}`)
    for (const contender of rotated(contenders, round * 3))
      figures.get(contender)!.push(await measure.measure(contender, seconds))
  }
  return figures
}

/** The one with the best median among them. */
export function bestOf(
  { figure, better }: Measure,
  figures: ReadonlyMap<Contender, readonly Figures[]>,
  among: (contender: Contender) => boolean = () => true,
): Contender | undefined {
  const sign = better === 'higher' ? 1 : -1
  const score = (it: Contender): number =>
    sign * median(figures.get(it)!.map((each) => each[figure]!))
  return [...figures.keys()].filter(among).toSorted((a, b) => score(b) - score(a))[0]
}

/** Two sides in alternating pairs. */
export async function duel(
  measure: Measure,
  one: Contender,
  other: Contender,
  pairs: number,
  seconds: number,
): Promise<{ ratio: Ratio; ones: readonly Figures[]; others: readonly Figures[] }> {
  const { what, figure } = measure
  const measured = await alternatingPairs(
    pairs,
    () => measure.measure(one, seconds),
    () => measure.measure(other, seconds),
    (pair, mine, theirs) =>
      progress(
        `${what}: pair ${pair + 1} of ${pairs}: ${figure} ${mine[figure]!.toFixed(1)} of ${one.side.name}, ${theirs[figure]!.toFixed(1)} of ${other.side.name}`,
      ),
  )
  return {
    ratio: ratioOf(
      measured.map(({ ours, theirs }) => ({ ours: ours[figure]!, theirs: theirs[figure]! })),
      `${one.side.name} over ${other.side.name}`,
    ),
    ones: measured.map(({ ours }) => ours),
    others: measured.map(({ theirs }) => theirs),
  }
}

/** Medians over the measurements, and the spread of the deciding figure. */
export function rowOf(
  { figure, parameters }: Pick<Measure, 'figure' | 'parameters'>,
  side: Pick<Side, 'name' | 'parameters'>,
  figures: readonly Figures[],
  phase: string,
): Row {
  const of = (key: string): number[] => figures.map((each) => each[key]!)
  return {
    name: side.name,
    ...parameters,
    ...Object.fromEntries(Object.keys(figures[0]!).map((key) => [key, median(of(key))])),
    [`${figure}Min`]: Math.min(...of(figure)),
    [`${figure}Max`]: Math.max(...of(figure)),
    measurements: figures.length,
    phase,
    ...side.parameters,
  }
}

/** The best mode of each family as bars of a chart. */
export function barsOf(
  measure: Measure,
  figures: ReadonlyMap<Contender, readonly Figures[]>,
): (Spread & { readonly side: string })[] {
  const families = [...new Set([...figures.keys()].map(({ side }) => side.family))]
  return families.map((family) => {
    const best = bestOf(measure, figures, ({ side }) => side.family === family)!
    const values = figures.get(best)!.map((each) => each[measure.figure]!)
    return {
      side: family,
      value: median(values),
      min: Math.min(...values),
      max: Math.max(...values),
    }
  })
}
