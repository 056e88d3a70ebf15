import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BarChart, Chart } from './chart.ts'
import { escape, figure } from './format.ts'
import type { Section } from './page.ts'
import { colours, styleOf } from './palette.ts'

const WIDTH = 1200
const HEIGHT = 640
const PANELS = 3

/** What the picture shows, where it was measured. */
const WANTED = [
  {
    workload: 'dispatch',
    chart: 'An empty handler, one worker',
    group: '64 in flight',
    title: 'Tasks per second',
    note: 'empty handler, 64 in flight',
  },
  {
    workload: 'roundtrip',
    chart: 'Median',
    group: 'back to back',
    title: 'Round trip, µs',
    note: 'median of single tasks',
  },
  {
    workload: 'service',
    chart: 'Requests per second within a p99 of 100 ms, the digits model',
    group: '',
    title: 'Digits over HTTP',
    note: 'requests/s, p99 ≤ 100 ms',
  },
] as const

/** The picture for the README, as SVG and as PNG (with sharp, where it is installed). */
export async function headline(sections: readonly Section[], folder: string): Promise<void> {
  const panels = WANTED.flatMap(({ workload, chart, group, title, note }) => {
    const charts: readonly Chart[] =
      sections.find(({ report }) => report.workload === workload)?.report.charts ?? []
    const found = charts.find(
      (each): each is BarChart => each.kind === 'bars' && each.title === chart,
    )
    const bars = found?.groups.find(({ label }) => label === group)?.bars
    return found === undefined || bars === undefined
      ? []
      : [{ title, note, better: found.better, bars }]
  })
  if (panels.length < PANELS) return
  const machine = sections[0]!.report.machine as { readonly cpus: number; readonly model: string }
  const { node } = sections[0]!.report.versions as { readonly node: string }
  const svg = draw(
    panels,
    `${machine.cpus} cores of ${machine.model}, Node.js ${node}, one worker where not said otherwise. Medians; npm run bench repeats it.`,
  )
  await writeFile(join(folder, 'headline.svg'), svg)
  const { default: sharp } = await import('sharp')
  await sharp(Buffer.from(svg), { density: 144 })
    .resize(WIDTH * 2)
    .png({ palette: true })
    .toFile(join(folder, 'headline.png'))
}

function draw(
  panels: readonly {
    readonly title: string
    readonly note: string
    readonly better: string
    readonly bars: BarChart['groups'][number]['bars']
  }[],
  footer: string,
): string {
  const values = new Map(
    colours.light.split(';').map((pair) => pair.split(':') as [string, string]),
  )
  const colour = (text: string): string =>
    text.replace(/var\((--\w+)\)/, (_, name: string) => values.get(name)!)
  const [margin, gap] = [56, 44]
  const width = (WIDTH - 2 * margin - (panels.length - 1) * gap) / panels.length
  const parts: string[] = []
  panels.forEach(({ title, note, better, bars }, index) => {
    const left = margin + index * (width + gap)
    const sorted = bars
      .filter(({ side }) => !/aqueduct-ts, /.test(side))
      .toSorted((a, b) => (better === 'higher' ? b.value - a.value : a.value - b.value))
    const most = Math.max(...sorted.map(({ value }) => value))
    parts.push(
      `<text x="${left}" y="150" class="title">${escape(title)}</text>`,
      `<text x="${left}" y="174" class="note">${escape(note)}, ${better} is better</text>`,
    )
    sorted.forEach(({ side, value }, row) => {
      const top = 198 + row * 53
      const style = styleOf(side)
      parts.push(
        `<text x="${left}" y="${top + 14}" class="${style.isOurs ? 'ours' : 'side'}">${escape(side)}</text>`,
        `<text x="${left + width}" y="${top + 14}" text-anchor="end" class="${style.isOurs ? 'ours' : 'figure'}">${figure(value)}</text>`,
        `<rect x="${left}" y="${top + 22}" width="${width}" height="14" rx="7" class="track"/>`,
        `<rect x="${left}" y="${top + 22}" width="${Math.max(6, (value / most) * width).toFixed(1)}" height="14" rx="7" fill="${colour(style.isOurs ? style.colour : 'var(--muted)')}" opacity="${style.isOurs ? 1 : 0.6}"/>`,
      )
    })
  })
  const css = `text{font-family:"DejaVu Sans","Noto Sans",Helvetica,Arial,sans-serif;fill:${values.get('--text')}}.head{font-size:34px;font-weight:700}.title{font-size:21px;font-weight:700}.note,.foot{font-size:14px;fill:${values.get('--muted')}}.side,.ours,.figure{font-size:16px}.ours{font-weight:700;fill:${values.get('--ours')}}.figure{fill:${values.get('--muted')}}.track{fill:${values.get('--line')};opacity:.5}`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}"><style>${css}</style><rect width="${WIDTH}" height="${HEIGHT}" fill="${values.get('--bg')}"/><text x="${margin}" y="82" class="head">aqueduct-ts, side by side</text>${parts.join('')}<text x="${margin}" y="${HEIGHT - 26}" class="foot">${escape(footer)}</text></svg>`
}
