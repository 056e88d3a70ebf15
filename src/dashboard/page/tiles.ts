import type { FlowSample } from 'aqueduct-ts'
import { byId, h, replace, s } from './dom.ts'
import { bytes, count, duration, integer, number, percent } from './format.ts'
import { HISTORY_MS, type Model, lately, perSecond, sum } from './model.ts'

interface Tile {
  readonly id: string
  readonly label: string
  readonly value: string
  readonly about: string
  readonly level?: 'warn' | 'bad'
  readonly line: (sample: FlowSample) => number | undefined
}

/** Figures are of the last seconds: those of one second jump. */
const SHORTLY_MS = 5_000

const troubles = ({ tasks }: FlowSample): number => tasks.failed + tasks.timedOut + tasks.rejected

function tilesOf({ samples, view }: Model): Tile[] {
  const shortly = lately(samples, SHORTLY_MS)
  const seconds = sum(shortly.map(({ periodMs }) => periodMs)) / 1_000
  const done = sum(shortly.map(({ tasks }) => tasks.completed))
  const latest = samples.findLast(({ latency }) => latency !== undefined)?.latency
  const minute = lately(samples, 60_000)
  const total = (name: 'failed' | 'timedOut' | 'rejected' | 'cancelled'): number =>
    sum(minute.map(({ tasks }) => tasks[name]))
  const wrong = sum(minute.map(troubles))
  const { memory, tasks } = view.stats
  const cancelled = total('cancelled')
  return [
    {
      id: 'throughput',
      label: 'Throughput',
      value: `${number(seconds > 0 ? done / seconds : 0)} /s`,
      about: `${integer(tasks.completed)} tasks done since the start`,
      line: (sample) => perSecond(sample.tasks.completed, sample),
    },
    {
      id: 'latency',
      label: 'Latency, 99 of 100 within',
      value: latest === undefined ? '–' : duration(latest.p99),
      about:
        latest === undefined ? 'no task was done lately' : `half within ${duration(latest.p50)}`,
      line: ({ latency }) => latency?.p99,
    },
    {
      id: 'pending',
      label: 'Tasks pending',
      value: integer(tasks.pending),
      about: `${integer(view.maxPending)} at most for each program`,
      ...(tasks.pending >= 0.8 * view.maxPending && { level: 'bad' as const }),
      line: (sample) => sample.tasks.pending,
    },
    {
      id: 'troubles',
      label: 'Gone wrong, last minute',
      value: integer(wrong),
      about:
        wrong === 0
          ? `none failed, timed out or refused${cancelled > 0 ? `, ${integer(cancelled)} cancelled` : ''}`
          : `${integer(total('failed'))} failed, ${integer(total('timedOut'))} timed out, ${integer(total('rejected'))} refused`,
      ...(wrong > 0 && { level: 'bad' as const }),
      line: (sample) => perSecond(troubles(sample), sample),
    },
    {
      id: 'shared-memory',
      label: 'Shared memory in use',
      value: bytes(memory.bytesInUse),
      about: `${percent(memory.bytesInUse / memory.bytesMax)} of ${bytes(memory.bytesMax)}, ${count(memory.blocksInUse, 'block')}`,
      line: ({ bytesInUse }) => bytesInUse,
    },
  ]
}

const WIDTH = 120
const HEIGHT = 28

/** Five minutes as a line; the tile says what it is of. */
function sparkline(samples: readonly FlowSample[], line: Tile['line']): SVGSVGElement {
  const end = samples.at(-1)?.at ?? 0
  const values = samples.map((sample) => ({ at: sample.at, value: line(sample) ?? 0 }))
  const most = Math.max(...values.map(({ value }) => value), 1e-9)
  const points = values.map(({ at, value }) => {
    const x = WIDTH * (1 - (end - at) / HISTORY_MS)
    const y = HEIGHT - 2 - (value / most) * (HEIGHT - 4)
    return `${x.toFixed(1)},${y.toFixed(1)}`
  })
  return s(
    'svg',
    {
      class: 'sparkline',
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: 'none',
      'aria-hidden': 'true',
    },
    s('polyline', { points: points.join(' '), 'vector-effect': 'non-scaling-stroke' }),
  )
}

export function drawTiles(model: Model): void {
  replace(
    byId('tiles'),
    ...tilesOf(model).map(({ id, label, value, about, level, line }) => {
      const tile = h(
        'li',
        { id: `tile-${id}`, 'data-level': level },
        h('span', { class: 'label' }, label),
        h('strong', {}, value),
        h('span', { class: 'about' }, about),
      )
      tile.append(sparkline(model.samples, line))
      return tile
    }),
  )
}
