import { stripVTControlCharacters, styleText } from 'node:util'
import { judge } from '../dashboard/verdict.ts'
import type { FlowSample, FlowView, StepSample } from '../index.ts'
import { bytes, count, duration, integer, number, percent } from '../dashboard/page/format.ts'

type Style = Parameters<typeof styleText>[0]
type Paint = (style: Style, text: string) => string

export interface Picture {
  readonly lines: string[]
  readonly level: ReturnType<typeof judge>['level']
}

const STYLES = { ok: 'green', warn: 'yellow', bad: 'red', down: 'red' } as const
const MARKS = { ok: '✓', warn: '!', bad: '✕', down: '■' } as const
const BARS = ' ▁▂▃▄▅▆▇█'
const SHORTLY = 5 // samples
const PROBLEMS = 3
const EVENTS = 5

/** A flow as lines of text that are at most `width` wide. */
export function drawFlow(
  samples: readonly FlowSample[],
  view: FlowView,
  { width, isColoured }: { readonly width: number; readonly isColoured: boolean },
): Picture {
  const paint: Paint = (style, text) =>
    isColoured ? styleText(style, text, { validateStream: false }) : text
  const verdict = judge(samples.slice(-15), view)
  const shortly = samples.slice(-SHORTLY)
  const lines = [
    heading(samples, view, paint),
    paint([STYLES[verdict.level], 'bold'], `${MARKS[verdict.level]} ${verdict.title}`),
    ...verdict.reasons.map(({ text }) => `  ${text}`),
    ...(verdict.bottleneck ? [`  ${verdict.bottleneck.text}`] : []),
    '',
    ...figures(samples, shortly, view, width),
    '',
    ...steps(shortly, view, verdict.bottleneck?.step, paint),
    '',
    ...workers(view, paint),
    ...happened(view, samples.at(-1)?.at ?? 0, paint),
  ]
  return { lines: lines.map((line) => cut(line, width)), level: verdict.level }
}

function heading(samples: readonly FlowSample[], view: FlowView, paint: Paint): string {
  const { address, pid, startedAt, clients } = view
  const up =
    startedAt === undefined
      ? view.state
      : `up ${duration((samples.at(-1)?.at ?? startedAt) - startedAt)}`
  const others = clients.length > 0 ? `, ${clients.length} attached` : ''
  return `${paint('bold', `aqueduct ${address ?? ''}`)}  pid ${pid}, ${up}${others}`
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

function figures(
  samples: readonly FlowSample[],
  shortly: readonly FlowSample[],
  view: FlowView,
  width: number,
): string[] {
  const { tasks, memory } = view.stats
  const seconds = sum(shortly.map(({ periodMs }) => periodMs)) / 1_000
  const rate = (value: (sample: FlowSample) => number): number =>
    seconds > 0 ? sum(shortly.map(value)) / seconds : 0
  const latency = samples.findLast((sample) => sample.latency !== undefined)?.latency
  const split =
    latency === undefined
      ? 'no task was done lately'
      : `p50 ${duration(latency.p50)}  p99 ${duration(latency.p99)}  = queue ${duration(latency.queue)} + batch ${duration(latency.batch)} + handle ${duration(latency.handle)} + transfer ${duration(latency.transfer)}`
  const room = Math.max(10, Math.min(60, width - 40))
  const line = sparkline(
    samples
      .slice(-room)
      .map(({ tasks: { completed }, periodMs }) => (completed * 1_000) / periodMs),
  )
  return [
    `Throughput  ${number(rate((sample) => sample.tasks.completed)).padStart(8)} /s  ${line}`,
    `Latency     ${split}`,
    `Tasks       ${integer(tasks.completed)} done, ${integer(tasks.pending)} pending, ${integer(tasks.failed)} failed, ${integer(tasks.timedOut)} timed out, ${integer(tasks.cancelled)} cancelled, ${integer(tasks.rejected)} refused`,
    `Memory      ${bytes(memory.bytesInUse)} in use of ${bytes(memory.bytesMax)}, ${integer(memory.blocksInUse)} blocks; ${bytes(memory.bytesCommitted)} given by the system`,
  ]
}

function sparkline(values: readonly number[]): string {
  const most = Math.max(...values, 1e-9)
  return values.map((value) => BARS[Math.ceil((value / most) * (BARS.length - 1))]).join('')
}

const meter = (share: number, cells: number): string => {
  const full = Math.round(Math.min(1, share) * cells)
  return '█'.repeat(full) + '░'.repeat(cells - full)
}

function mean(
  all: readonly StepSample[],
  value: 'queueMs' | 'batchWaitMs' | 'handleMs',
  weight: 'tasks' | 'batches',
): number {
  const total = sum(all.map((step) => step[weight]))
  return total > 0 ? sum(all.map((step) => step[value] * step[weight])) / total : 0
}

function steps(
  shortly: readonly FlowSample[],
  view: FlowView,
  bottleneck: number | undefined,
  paint: Paint,
): string[] {
  const rows = view.steps.map(({ name, queueSize, batchSize }, index) => {
    const all = shortly.flatMap((sample) => sample.steps[index] ?? [])
    const waiting = all.at(-1)?.waiting ?? []
    const batches = sum(all.map((step) => step.batches))
    const busy = all.length > 0 ? sum(all.map((step) => step.busy)) / all.length : 0
    const fill = Math.max(0, ...waiting.map(({ tasks }) => tasks / queueSize))
    const oldest = Math.max(0, ...waiting.map(({ oldestMs }) => oldestMs))
    return [
      name + (index === bottleneck ? ' ◀ bottleneck' : ''),
      waiting.map(({ tasks }) => integer(tasks)).join(' + ') || '0',
      meter(fill, 6),
      oldest > 0 ? duration(oldest) : '–',
      `${meter(busy, 6)} ${percent(busy)}`,
      duration(mean(all, 'queueMs', 'tasks')),
      duration(mean(all, 'handleMs', 'batches')),
      batchSize > 1
        ? `${number(batches > 0 ? sum(all.map(({ tasks }) => tasks)) / batches : 0)} of ${batchSize}`
        : '1',
    ]
  })
  const title = ['Step', 'Waiting', 'Queue', 'Oldest', 'Busy', 'In queue', 'Handle', 'Batch']
  return columns([title, ...rows]).map((line, row) =>
    row === 0 ? paint('dim', line) : row - 1 === bottleneck ? paint('yellow', line) : line,
  )
}

function workers({ stats, inHand }: FlowView, paint: Paint): string[] {
  const rows = stats.workers.map(({ step, index, state, pid, restarts, rssAnonBytes }, at) => {
    const { tasks, oldestMs } = inHand[at] ?? { tasks: 0, oldestMs: 0 }
    return [
      `${step} ${index}`,
      state,
      pid > 0 ? String(pid) : '–',
      tasks > 0 ? `${count(tasks, 'task')}, ${duration(oldestMs)} old` : 'nothing',
      integer(restarts),
      rssAnonBytes > 0 ? bytes(rssAnonBytes) : '–',
    ]
  })
  const title = ['Worker', 'State', 'Pid', 'In hand', 'Restarts', 'Memory']
  return columns([title, ...rows]).map((line, row) => {
    if (row === 0) return paint('dim', line)
    const { state } = stats.workers[row - 1]!
    return state === 'dead'
      ? paint('red', line)
      : state === 'running'
        ? line
        : paint('yellow', line)
  })
}

function happened({ problems, events }: FlowView, now: number, paint: Paint): string[] {
  const ago = (at: number): string => `${duration(Math.max(0, now - at))} ago`.padStart(16)
  return [
    ...(problems.length > 0 ? ['', paint('dim', 'Errors')] : []),
    ...problems
      .slice(0, PROBLEMS)
      .map(
        ({ at, times, message }) =>
          `${ago(at)}  ${times > 1 ? `${times}× ` : ''}${printable(message)}`,
      ),
    ...(events.length > 0 ? ['', paint('dim', 'Changes')] : []),
    ...events.slice(0, EVENTS).map(({ at, message }) => `${ago(at)}  ${printable(message)}`),
  ]
}

/** Messages come from tasks and programs: none may move the cursor. */
const printable = (text: string): string =>
  stripVTControlCharacters(text).replaceAll(/\p{Cc}+/gu, ' ')

/** Rows as columns, each as wide as it needs. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) =>
    row
      .map((text, column) => text.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
}

/** A line that fits; what has colours and does not fit loses them. */
function cut(line: string, width: number): string {
  const plain = stripVTControlCharacters(line)
  return plain.length <= width ? line : `${plain.slice(0, width - 1)}…`
}
