import type { Row } from '../harness/report.ts'
import { escape, figure } from './format.ts'

const WIDTH = 760
const LEFT = 20
const ROW = 96
const STAGES = [
  ['submitUs', 'process()', 'web process: fields into a slot, into the queue, ring', '#0f7b6c'],
  ['thereUs', 'there', 'worker: wake, claim, rebuild the task', '#5b6abf'],
  ['handleUs', 'handler', 'nothing to do here', '#1d2330'],
  ['backUs', 'back', 'results into the slot, web process: wake, read, resolve', '#c0692b'],
] as const

/** One task's life as a picture for the documentation: a file of its own, legible on light and on dark. */
export function drawLife(rows: readonly Row[], footer: string): string {
  const shown = rows.filter(({ name }) => name === 'aqueduct-ts')
  const parts: string[] = []
  shown.forEach((row, index) => {
    const top = 60 + index * ROW
    const total = STAGES.reduce((sum, [stage]) => sum + (row[stage] as number), 0)
    parts.push(
      `<text x="${LEFT}" y="${top}" class="b">${escape(String(row['state']))}: ${figure(row['totalUs'] as number)} µs</text>`,
    )
    let at = LEFT
    for (const [stage, label, , colour] of STAGES) {
      const value = row[stage] as number
      const width = Math.max(3, (value / total) * (WIDTH - 2 * LEFT))
      parts.push(
        `<rect x="${at.toFixed(1)}" y="${top + 12}" width="${width.toFixed(1)}" height="30" fill="${colour}"/>`,
      )
      if (width > 110) {
        parts.push(
          `<text x="${(at + 8).toFixed(1)}" y="${top + 32}" class="w">${escape(label)} ${figure(value)} µs</text>`,
        )
      } else if (stage !== 'handleUs' || width > 40) {
        parts.push(
          `<text x="${at.toFixed(1)}" y="${top + 58}" class="s">${escape(label)} ${figure(value)} µs</text>`,
        )
      }
      at += width
    }
  })
  const legendTop = 60 + shown.length * ROW + 14
  STAGES.forEach(([, label, what, colour], index) => {
    const y = legendTop + index * 24
    parts.push(
      `<rect x="${LEFT}" y="${y - 11}" width="14" height="14" fill="${colour}"/>`,
      `<text x="${LEFT + 24}" y="${y}" class="s"><tspan class="b">${escape(label)}</tspan>  ${escape(what)}</text>`,
    )
  })
  const height = legendTop + STAGES.length * 24 + 34
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img"><style>text{font:14px system-ui,"DejaVu Sans",sans-serif;fill:#1d2330}.b{font-weight:700}.s{font-size:13px}.w{fill:#fff;font-size:13px;font-weight:600}.f{font-size:12px;fill:#6b7280}</style><rect width="${WIDTH}" height="${height}" rx="12" fill="#fbfaf7"/><text x="${LEFT}" y="30" class="b" style="font-size:17px">One task’s life: a flow of one step, an empty handler</text>${parts.join('')}<text x="${LEFT}" y="${height - 14}" class="f">${escape(footer)}</text></svg>\n`
}
