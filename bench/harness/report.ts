import type { Chart } from '../charts/chart.ts'
import type { Missing } from './peers.ts'

/** What a workload measured: a name, its parameters and its figures, the unit of each in its key. */
export interface Row {
  readonly name: string
  readonly [key: string]: unknown
}

/** How one way compares with another over alternating pairs of measurements. */
export interface Ratio {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly pairs: number
  /** `a over b`: the figure of a divided by that of b. */
  readonly of: string
}

/** What is to be reached, and what was. */
export interface Goal {
  readonly what: string
  readonly bound: 'at least' | 'at most'
  readonly goal: number
  /** What the numbers count: `times`, `µs` … */
  readonly unit: string
  /** Missing where a peer was not there to be measured. */
  readonly measured?: number | undefined
  readonly min?: number | undefined
  readonly max?: number | undefined
  /** Measurements behind it. */
  readonly pairs?: number | undefined
}

/** What a workload hands back. */
export interface Outcome {
  readonly results: readonly Row[]
  readonly ratios: Readonly<Record<string, Ratio>>
  readonly goals?: readonly Goal[]
  readonly charts?: readonly Chart[]
  /** Who was not measured, and why. */
  readonly missing?: readonly Missing[]
}

/** What `--json` prints. */
export interface Report extends Outcome {
  readonly workload: string
  readonly machine: object
  readonly versions: object
}

/** What a workload is told. */
export interface Settings {
  /** Alternating pairs per ratio. */
  readonly pairs: number
  /** Seconds per measurement. */
  readonly seconds: number
  /** Tasks of workloads that count them instead. */
  readonly tasks: number
  /** Minutes that the growth workload keeps a flow up. */
  readonly minutes: number
  /** Touch everything, as shortly as can be: whether it runs, not how fast. */
  readonly quick: boolean
}

/** A workload of `npm run bench`. */
export interface Workload {
  /** One line of the help. */
  readonly about: string
  /** Two sentences for a reader of the page: what is done, and what it tells. */
  readonly explained: string
  /** How long it takes by default on two cores, in words. */
  readonly takes: string
  readonly defaults?: Partial<Settings>
  /** What of a quick run is not as for the others. */
  readonly quick?: Partial<Settings>
  run(settings: Settings): Promise<Outcome>
}

/** A ratio as a goal. */
export function goalOf(
  what: string,
  bound: Goal['bound'],
  goal: number,
  ratio: Ratio | undefined,
): Goal {
  return {
    what,
    bound,
    goal,
    unit: 'times',
    measured: ratio?.median,
    min: ratio?.min,
    max: ratio?.max,
    pairs: ratio?.pairs,
  }
}

/** Whether it was reached; undefined where it was not measured. */
export function isMet({ bound, goal, measured }: Goal): boolean | undefined {
  if (measured === undefined || Number.isNaN(measured)) return undefined
  return bound === 'at least' ? measured >= goal : measured <= goal
}

/** Tells on standard error what is being done: standard output belongs to the figures. */
export function progress(message: string): void {
  process.stderr.write(`[bench] ${message}\n`)
}

/** The report as one JSON object; six digits are more than any of it is worth. */
export function toJson(report: Report): string {
  return JSON.stringify(report, shorten, 2)
}

function shorten(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value)
    ? Number(value.toPrecision(6))
    : value
}

/** The report as tables: rows that share their columns stand together. */
export function toTables(report: Report): string {
  const { workload, machine, versions, results, ratios, goals = [], missing = [] } = report
  const groups = new Map<string, Row[]>()
  for (const row of results) {
    const columns = Object.keys(row).join(' ')
    groups.set(columns, [...(groups.get(columns) ?? []), row])
  }
  const ratioRows = Object.entries(ratios).map(([name, ratio]) => ({ ratio: name, ...ratio }))
  return [
    `${workload} on ${describe(machine)}, ${describe(versions)}`,
    ...[...groups.values()].map(table),
    ...(ratioRows.length > 0 ? [table(ratioRows)] : []),
    ...(goals.length > 0 ? [table(goals.map(goalRow))] : []),
    ...missing.map(({ name, reason }) => `missing: ${name}: ${reason}`),
  ].join('\n\n')
}

function goalRow(goal: Goal): object {
  const met = isMet(goal)
  return {
    target: goal.what,
    goal: `${goal.bound} ${cell(goal.goal)} ${goal.unit}`,
    measured: goal.measured === undefined ? 'not measured' : cell(goal.measured),
    verdict: met === undefined ? '' : met ? 'met' : 'missed',
  }
}

function describe(facts: object): string {
  return Object.entries(facts)
    .map(([name, value]) => `${name} ${cell(value)}`)
    .join(', ')
}

function table(rows: readonly object[]): string {
  const columns = Object.keys(rows[0] ?? {})
  const lines = [columns, ...rows.map((row) => Object.values(row).map(cell))]
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => line[index]!.length)))
  return lines
    .map((line) => line.map((text, index) => text.padEnd(widths[index]!)).join('  '))
    .map((line) => line.trimEnd())
    .join('\n')
}

function cell(value: unknown): string {
  if (typeof value === 'number') {
    const maximumFractionDigits = Math.abs(value) < 10 ? 3 : 1
    return value.toLocaleString('en-US', { maximumFractionDigits })
  }
  return typeof value === 'string' ? value : JSON.stringify(value)
}
