import { Chart, type ChartPlan, type Series } from './chart.ts'
import { byId } from './dom.ts'
import { bytes, duration, integer, number } from './format.ts'
import { type Model, perSecond, sum } from './model.ts'

const PALETTE = ['handle', 'queue', 'batch', 'transfer', 'wait', 'bad']

/** What waits: by priority where there are several, else by step. */
function queueSeries(
  { view }: Model,
  of: (waiting: { tasks: number; oldestMs: number }) => number,
  combine: (numbers: readonly number[]) => number,
): Series[] {
  if (view.priorities > 1) {
    return Array.from({ length: view.priorities }, (_, below): Series => {
      const priority = view.priorities - 1 - below
      return {
        name: `priority ${priority}`,
        colour: PALETTE[below % PALETTE.length]!,
        value: ({ steps }) =>
          combine(steps.flatMap(({ waiting }) => (waiting[priority] ? of(waiting[priority]) : []))),
      }
    })
  }
  return view.steps.map(({ name }, step) => ({
    name,
    colour: PALETTE[step % PALETTE.length]!,
    value: ({ steps }) => combine((steps[step]?.waiting ?? []).map(of)),
  }))
}

const largest = (numbers: readonly number[]): number => Math.max(0, ...numbers)

const rate =
  (name: 'completed' | 'failed' | 'timedOut' | 'cancelled' | 'rejected'): Series['value'] =>
  (sample) =>
    perSecond(sample.tasks[name], sample)

function plansOf(model: Model): ChartPlan[] {
  return [
    {
      id: 'throughput',
      title: 'Tasks per second',
      format: number,
      least: 1,
      series: [
        { name: 'done', colour: 'handle', kind: 'area', value: rate('completed') },
        { name: 'failed', colour: 'bad', kind: 'area', value: rate('failed') },
        { name: 'timed out', colour: 'queue', kind: 'area', value: rate('timedOut') },
        { name: 'refused', colour: 'batch', kind: 'area', value: rate('rejected') },
        { name: 'cancelled', colour: 'wait', kind: 'area', value: rate('cancelled') },
      ],
    },
    {
      id: 'latency',
      title: 'Where the time of a task goes',
      format: duration,
      least: 0.1,
      series: [
        { name: 'queue', colour: 'queue', kind: 'area', value: ({ latency }) => latency?.queue },
        {
          name: 'batch wait',
          colour: 'batch',
          kind: 'area',
          value: ({ latency }) => latency?.batch,
        },
        { name: 'handle', colour: 'handle', kind: 'area', value: ({ latency }) => latency?.handle },
        {
          name: 'transfer',
          colour: 'transfer',
          kind: 'area',
          value: ({ latency }) => latency?.transfer,
        },
        { name: '99 of 100 within', colour: 'ink', value: ({ latency }) => latency?.p99 },
      ],
    },
    {
      id: 'depth',
      title: 'Tasks that wait',
      format: integer,
      least: 2,
      series: queueSeries(model, ({ tasks }) => tasks, sum),
    },
    {
      id: 'age',
      title: 'How long the oldest has waited',
      format: duration,
      least: 1,
      series: queueSeries(model, ({ oldestMs }) => oldestMs, largest),
    },
    {
      id: 'busy',
      title: 'How busy the workers are',
      format: (share) => `${Math.round(share * 100)} %`,
      least: 1,
      series: model.view.steps.map(({ name }, step) => ({
        name,
        colour: PALETTE[step % PALETTE.length]!,
        value: ({ steps }) => steps[step]?.busy ?? 0,
      })),
    },
    {
      id: 'memory',
      title: 'Shared memory',
      format: bytes,
      least: 4096,
      thousand: 1024,
      series: [
        { name: 'in use', colour: 'handle', kind: 'area', value: ({ bytesInUse }) => bytesInUse },
        {
          name: 'given by the system',
          colour: 'ink',
          value: ({ bytesCommitted }) => bytesCommitted,
        },
      ],
    },
  ]
}

let charts: readonly Chart[] = []
let shape = ''

function point(at: number | undefined): void {
  for (const chart of charts) chart.point(at)
}

/** Draws all charts; a moment that is pointed at in one is pointed at in all. */
export function drawCharts(model: Model): void {
  const { view, samples, events } = model
  const next = JSON.stringify([view.steps.map(({ name }) => name), view.priorities])
  if (next !== shape) {
    shape = next
    charts = plansOf(model).map((plan) => new Chart(plan, point))
    byId('charts').replaceChildren(...charts.map(({ element }) => element))
  }
  const marks = events.filter(({ level }) => level === 'warn' || level === 'error')
  for (const chart of charts) chart.draw(samples, marks)
}
