import type { FlowSample } from 'aqueduct-ts'
import { byId, h, s, setText, table } from './dom.ts'
import { clock } from './format.ts'
import { HISTORY_MS } from './model.ts'

/** One of the lines, or one of the areas that lie upon each other. */
export interface Series {
  readonly name: string
  /** Colour: a custom property of the style sheet is named after it. */
  readonly colour: string
  /** Undefined where there is nothing to say. */
  readonly value: (sample: FlowSample) => number | undefined
  /** Areas are stacked, lines lie above. Default: a line. */
  readonly kind?: 'area' | 'line'
}

export interface ChartPlan {
  readonly id: string
  readonly title: string
  readonly format: (value: number) => string
  readonly series: readonly Series[]
  /** What the scale reaches at least. */
  readonly least: number
  /** What a thousand is: 1024 for bytes. Default 1,000. */
  readonly thousand?: number
}

/** A moment at which something happened to the flow. */
export interface Mark {
  readonly at: number
  readonly message: string
}

const HEIGHT = 150
const LEFT = 52
const RIGHT = 14
const TOP = 8
const BOTTOM = 20
const ROW_MS = 15_000

/** A round number that is no less, counted in thousands or in 1024s. */
function ceiling(value: number, thousand: number): number {
  const unit = thousand ** Math.max(0, Math.floor(Math.log(value) / Math.log(thousand)))
  return unit * roundUp(value / unit)
}

function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return (
    ([1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value * 0.999) ?? 10) * power
  )
}

/** Five minutes of several values, as areas and lines, and as a table for who wants numbers. */
export class Chart {
  readonly element: HTMLElement
  readonly #plan: ChartPlan
  readonly #svg = s('svg', { role: 'img', tabindex: 0 })
  readonly #values: readonly HTMLElement[]
  readonly #moment = h('span', { class: 'about' })
  readonly #details: HTMLDetailsElement
  #samples: readonly FlowSample[] = []
  #marks: readonly Mark[] = []
  /** The moment that is pointed at, by its distance from the end. */
  #pointedAt: number | undefined

  constructor(plan: ChartPlan, onPoint: (at: number | undefined) => void) {
    this.#plan = plan
    this.#values = plan.series.map(() => h('strong', {}))
    this.#details = h('details', { class: 'as-table' }, h('summary', {}, 'As a table'))
    this.#details.addEventListener('toggle', () => this.#drawTable())
    this.element = h(
      'figure',
      { class: 'card chart', id: `chart-${plan.id}` },
      h('figcaption', {}, h('h3', {}, plan.title), this.#moment),
      h(
        'ul',
        { class: 'keys' },
        ...plan.series.map(({ name, colour, kind }, index) =>
          h(
            'li',
            {},
            h('i', { 'data-kind': colour, class: kind ?? 'line' }),
            `${name} `,
            this.#values[index],
          ),
        ),
      ),
      this.#svg,
      this.#details,
    )
    this.#svg.addEventListener('pointermove', (event) => onPoint(this.#momentAt(event.offsetX)))
    this.#svg.addEventListener('pointerleave', () => onPoint(undefined))
    this.#svg.addEventListener('blur', () => onPoint(undefined))
    this.#svg.addEventListener('keydown', (event) => this.#onKey(event, onPoint))
  }

  draw(samples: readonly FlowSample[], marks: readonly Mark[]): void {
    this.#samples = samples
    this.#marks = marks
    this.#render()
    if (this.#details.open) this.#drawTable()
  }

  /** Points at a moment; undefined for none. */
  point(at: number | undefined): void {
    this.#pointedAt = at
    this.#render()
  }

  get #end(): number {
    return this.#samples.at(-1)?.at ?? 0
  }

  get #width(): number {
    return Math.max(200, this.#svg.clientWidth || 480)
  }

  #x(at: number): number {
    return LEFT + (this.#width - LEFT - RIGHT) * (1 - (this.#end - at) / HISTORY_MS)
  }

  #momentAt(x: number): number {
    const share = (x - LEFT) / (this.#width - LEFT - RIGHT)
    return this.#end - HISTORY_MS * (1 - Math.min(1, Math.max(0, share)))
  }

  #onKey(event: KeyboardEvent, onPoint: (at: number | undefined) => void): void {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key]
    if (event.key === 'Escape') onPoint(undefined)
    if (step === undefined) return
    event.preventDefault()
    const present = this.#shownIndex()
    const next = this.#samples[Math.min(this.#samples.length - 1, Math.max(0, present + step))]
    if (next === undefined) return
    onPoint(next.at)
    setText(byId('readout'), `${clock(next.at)}: ${this.#describe(next)}`)
  }

  /** Index of the sample that the legend shows. */
  #shownIndex(): number {
    const at = this.#pointedAt
    if (at === undefined) return this.#samples.length - 1
    let nearest = 0
    this.#samples.forEach((sample, index) => {
      if (Math.abs(sample.at - at) < Math.abs(this.#samples[nearest]!.at - at)) nearest = index
    })
    return nearest
  }

  #describe(sample: FlowSample): string {
    const { series, format } = this.#plan
    return series
      .map(({ name, value }) => {
        const shown = value(sample)
        return `${name} ${shown === undefined ? 'unknown' : format(shown)}`
      })
      .join(', ')
  }

  #render(): void {
    const { series, format, least, title } = this.#plan
    const samples = this.#samples
    const shown = samples[this.#shownIndex()]
    if (shown === undefined) return
    series.forEach(({ value }, index) => {
      const one = value(shown)
      setText(this.#values[index]!, one === undefined ? '–' : format(one))
    })
    setText(this.#moment, this.#pointedAt === undefined ? 'now' : clock(shown.at))
    this.#svg.setAttribute('aria-label', `${title}. Now: ${this.#describe(samples.at(-1)!)}`)

    const areas = series.filter(({ kind }) => kind === 'area')
    const lines = series.filter(({ kind }) => kind !== 'area')
    const stackOf = (sample: FlowSample): number =>
      areas.reduce((sum, { value }) => sum + (value(sample) ?? 0), 0)
    const top = ceiling(
      Math.max(
        least,
        ...samples.map((sample) =>
          Math.max(stackOf(sample), ...lines.map(({ value }) => value(sample) ?? 0)),
        ),
      ),
      this.#plan.thousand ?? 1_000,
    )
    const y = (value: number): number => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)
    const width = this.#width
    this.#svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`)
    this.#svg.replaceChildren(
      ...this.#grid(width, top, y),
      ...this.#drawAreas(areas, y),
      ...lines.flatMap((line) => this.#drawLine(line, y)),
      ...this.#marks
        .filter(({ at }) => at > this.#end - HISTORY_MS && at <= this.#end)
        .map(({ at, message }) =>
          s(
            'g',
            { class: 'mark' },
            s('title', {}, `${clock(at)}: ${message}`),
            s('line', { x1: this.#x(at), x2: this.#x(at), y1: TOP, y2: HEIGHT - BOTTOM }),
            s('path', { d: `M${this.#x(at) - 5},${TOP - 7}h10l-5,8z` }),
          ),
        ),
    )
    if (this.#pointedAt === undefined) return
    const x = this.#x(shown.at)
    this.#svg.append(s('line', { class: 'pointer', x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }))
  }

  #grid(width: number, top: number, y: (value: number) => number): SVGElement[] {
    const levels = [0, 0.5, 1].map((share) => share * top)
    const minutes = width > 360 ? [5, 4, 3, 2, 1, 0] : [5, 3, 1]
    return [
      ...levels.flatMap((level) => [
        s('line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y(level), y2: y(level) }),
        s('text', { class: 'level', x: LEFT - 6, y: y(level) + 4 }, this.#plan.format(level)),
      ]),
      ...minutes.map((minute) =>
        s(
          'text',
          {
            class: 'minute',
            x: this.#x(this.#end - minute * 60_000),
            y: HEIGHT - 5,
            'text-anchor': 'middle',
          },
          minute === 0 ? 'now' : `-${minute} min`,
        ),
      ),
    ]
  }

  #drawAreas(areas: readonly Series[], y: (value: number) => number): SVGElement[] {
    const floor = this.#samples.map(() => 0)
    return areas.map(({ value, colour }) => {
      const upper: string[] = []
      const lower: string[] = []
      this.#samples.forEach((sample, index) => {
        const x = this.#x(sample.at).toFixed(1)
        lower.unshift(`${x},${y(floor[index]!).toFixed(1)}`)
        floor[index]! += value(sample) ?? 0
        upper.push(`${x},${y(floor[index]!).toFixed(1)}`)
      })
      return s('polygon', {
        class: 'area',
        'data-kind': colour,
        points: [...upper, ...lower].join(' '),
      })
    })
  }

  #drawLine({ value, colour }: Series, y: (value: number) => number): SVGElement[] {
    const runs: string[][] = [[]]
    for (const sample of this.#samples) {
      const one = value(sample)
      if (one === undefined) runs.push([])
      else runs.at(-1)!.push(`${this.#x(sample.at).toFixed(1)},${y(one).toFixed(1)}`)
    }
    return runs
      .filter((points) => points.length > 0)
      .map((points) =>
        s('polyline', {
          class: 'line',
          'data-kind': colour,
          // A single value would be no line at all.
          points: points.length === 1 ? `${points[0]} ${points[0]}` : points.join(' '),
        }),
      )
  }

  #drawTable(): void {
    const { series, format, title } = this.#plan
    const rows: FlowSample[] = []
    for (const sample of this.#samples.toReversed())
      if (rows.length === 0 || rows.at(-1)!.at - sample.at >= ROW_MS) rows.push(sample)
    this.#details.querySelector('.table')?.remove()
    if (!this.#details.open) return
    this.#details.append(
      table(
        title,
        [
          { title: 'Time', cell: ({ at }) => clock(at) },
          ...series.map(({ name, value }) => ({
            title: name,
            isNumber: true,
            cell: (sample: FlowSample) => {
              const one = value(sample)
              return one === undefined ? '–' : format(one)
            },
          })),
        ],
        rows,
      ),
    )
  }
}
