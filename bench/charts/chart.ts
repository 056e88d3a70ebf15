/** A figure with the range in which its measurements lay. */
export interface Spread {
  readonly value: number
  readonly min?: number
  readonly max?: number
}

/** Bars side by side, group by group. */
export interface BarChart {
  readonly kind: 'bars'
  readonly title: string
  readonly unit: string
  readonly better: 'higher' | 'lower'
  readonly groups: readonly {
    readonly label: string
    readonly bars: readonly (Spread & { readonly side: string })[]
  }[]
}

/** An axis; on a logarithmic one equal distances are equal ratios. */
export interface Axis {
  readonly label: string
  readonly scale: 'linear' | 'log'
}

/** Curves. */
export interface LineChart {
  readonly kind: 'lines'
  readonly title: string
  readonly better: 'higher' | 'lower'
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly {
    readonly side: string
    readonly points: readonly { readonly x: number; readonly y: number }[]
  }[]
}

/** What a workload wants drawn: data alone, so that a page can be made of reports that lie in files. */
export type Chart = BarChart | LineChart
