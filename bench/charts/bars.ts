import type { BarChart } from './chart.ts'
import { escape, figure } from './format.ts'
import { styleOf } from './palette.ts'

const WIDTH = 720
const LABELS = 190
const FIGURES = 130
const BAR = 18
const GAP = 7
const GROUP_GAP = 34

/** Lying bars, group under group, each with its range as a thin line and its figure beside it. */
export function drawBars({ groups, unit }: BarChart): string {
  const shown = groups.filter(({ bars }) => bars.length > 0)
  const parts: string[] = []
  let y = 4
  for (const { label, bars } of shown) {
    // Each group has a scale of its own: the question is who is longer, not in which group.
    const most = Math.max(...bars.map(({ value, max }) => Math.max(value, max ?? 0))) || 1
    const scale = (value: number): number => (value / most) * (WIDTH - LABELS - FIGURES)
    if (label !== '') {
      parts.push(`<text x="0" y="${y + 13}" class="group">${escape(label)}</text>`)
      y += 24
    }
    for (const { side, value, min, max } of bars) {
      const { colour, opacity, isOurs } = styleOf(side)
      const middle = y + BAR / 2
      parts.push(
        `<text x="${LABELS - 10}" y="${middle + 4}" text-anchor="end" class="${isOurs ? 'ours' : 'side'}">${escape(side)}</text>`,
        `<rect x="${LABELS}" y="${y}" width="${Math.max(1.5, scale(value)).toFixed(1)}" height="${BAR}" rx="3" fill="${colour}" opacity="${opacity}"/>`,
      )
      const end = Math.max(scale(value), scale(max ?? 0))
      if (min !== undefined && max !== undefined && max > min) {
        const [from, to] = [LABELS + scale(min), LABELS + scale(max)]
        parts.push(
          `<path d="M${from.toFixed(1)} ${middle}H${to.toFixed(1)}M${from.toFixed(1)} ${middle - 4}v8M${to.toFixed(1)} ${middle - 4}v8" class="range"/>`,
        )
      }
      parts.push(
        `<text x="${(LABELS + end + 8).toFixed(1)}" y="${middle + 4}" class="${isOurs ? 'ours' : 'figure'}">${figure(value)} ${escape(unit)}</text>`,
      )
      y += BAR + GAP
    }
    y += GROUP_GAP - GAP
  }
  const height = Math.max(20, y - GROUP_GAP + GAP + 4)
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img">${parts.join('')}</svg>`
}
