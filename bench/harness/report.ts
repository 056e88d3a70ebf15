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

/** What a workload hands back. */
export interface Outcome {
  readonly results: readonly Row[]
  readonly ratios: Readonly<Record<string, Ratio>>
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
export function toTables({ workload, machine, versions, results, ratios }: Report): string {
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
  ].join('\n\n')
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
