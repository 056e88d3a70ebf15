import type { Axis, LineChart } from './chart.ts'
import { bytes, escape, short } from './format.ts'
import { styleOf } from './palette.ts'

const WIDTH = 720
const HEIGHT = 340
const LEFT = 62
const RIGHT = 14
const TOP = 30
const BOTTOM = 46

interface Scale {
  at(value: number): number
  readonly ticks: readonly number[]
}

/** Curves over a grid, their names in a legend below. */
export function drawLines({ x, y, series }: LineChart): string {
  const drawn = series.filter(({ points }) => points.length > 0)
  const points = drawn.flatMap((each) => each.points)
  if (points.length === 0) return ''
  const xs = points.map((point) => point.x)
  const across = scaleOf(
    x.scale,
    Math.min(...xs),
    Math.max(...xs),
    LEFT,
    WIDTH - RIGHT,
    false,
    x.scale === 'log' ? [] : xs,
  )
  const ys = points.map((point) => point.y).filter((value) => Number.isFinite(value))
  const up = scaleOf(y.scale, Math.min(...ys), Math.max(...ys), HEIGHT - BOTTOM, TOP, true, [])
  const show = (axis: Axis) => (value: number) =>
    axis.label === 'bytes' && axis === x ? bytes(value) : short(value)
  const grid = [
    ...up.ticks.map((tick) => {
      const at = up.at(tick).toFixed(1)
      return `<path d="M${LEFT} ${at}H${WIDTH - RIGHT}" class="grid"/><text x="${LEFT - 8}" y="${Number(at) + 4}" text-anchor="end" class="tick">${show(y)(tick)}</text>`
    }),
    ...across.ticks.map(
      (tick) =>
        `<text x="${across.at(tick).toFixed(1)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle" class="tick">${show(x)(tick)}</text>`,
    ),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle" class="axis">${escape(x.label)}</text>`,
    `<text x="${LEFT - 44}" y="14" class="axis">${escape(y.label)}</text>`,
  ]
  // Ours last, so that it lies on top.
  const curves = drawn
    .toSorted((one, other) => Number(styleOf(one.side).isOurs) - Number(styleOf(other.side).isOurs))
    .map(({ side, points: own }) => {
      const { colour, opacity, dash, isOurs } = styleOf(side)
      const at = own
        .filter((point) => Number.isFinite(point.y))
        .map((point) => `${across.at(point.x).toFixed(1)},${up.at(point.y).toFixed(1)}`)
      const dots = at.map((place) => {
        const [cx, cy] = place.split(',')
        return `<circle cx="${cx}" cy="${cy}" r="${isOurs ? 3.4 : 2.4}" fill="${colour}" opacity="${opacity}"/>`
      })
      return `<polyline points="${at.join(' ')}" fill="none" stroke="${colour}" stroke-width="${isOurs ? 2.8 : 1.8}" stroke-dasharray="${dash}" stroke-linejoin="round" opacity="${opacity}"/>${dots.join('')}`
    })
  const legend = drawn.map(({ side }) => {
    const { colour, opacity, dash, isOurs } = styleOf(side)
    return `<span class="key${isOurs ? ' ours' : ''}"><svg viewBox="0 0 26 10" width="26" height="10"><path d="M1 5H25" stroke="${colour}" stroke-width="${isOurs ? 3 : 2}" stroke-dasharray="${dash}" opacity="${opacity}"/></svg>${escape(side)}</span>`
  })
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">${grid.join('')}${curves.join('')}</svg><div class="legend">${legend.join('')}</div>`
}

function scaleOf(
  kind: Axis['scale'],
  least: number,
  most: number,
  from: number,
  to: number,
  fromZero: boolean,
  wanted: readonly number[],
): Scale {
  if (kind === 'log' && least > 0) {
    const [low, high] = fromZero
      ? [10 ** Math.floor(Math.log10(least)), 10 ** Math.ceil(Math.log10(most))]
      : [least, most]
    const span = Math.log(high / low) || 1
    const ticks: number[] = []
    for (let power = Math.ceil(Math.log10(low) - 1e-9); 10 ** power <= high * 1.001; power++)
      ticks.push(10 ** power)
    return { at: (value) => from + (Math.log(value / low) / span) * (to - from), ticks }
  }
  const low = fromZero ? Math.min(0, least) : least
  const step = stepFor(most - low || 1)
  const high = fromZero ? Math.ceil(most / step) * step : most
  const distinct = [...new Set(wanted)]
  const ticks =
    distinct.length > 0 && distinct.length <= 9
      ? distinct
      : Array.from(
          { length: Math.floor((high - low) / step + 1.001) },
          (_, index) => Math.ceil(low / step) * step + index * step,
        )
  return {
    at: (value) => from + ((value - low) / (high - low || 1)) * (to - from),
    ticks: ticks.filter((tick) => tick <= high * 1.0001),
  }
}

/** A round number of which a few make the span. */
function stepFor(span: number): number {
  const rough = span / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const times = [1, 2, 5, 10].find((each) => each * power >= rough) ?? 10
  return times * power
}
