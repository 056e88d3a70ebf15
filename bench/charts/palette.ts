/** This library in one colour, everybody else in colours that stay theirs on every chart. */
const OURS = 'var(--ours)'
const NAMED: readonly (readonly [start: string, colour: string])[] = [
  ['aqueduct-ts', OURS],
  ["Avito's Aqueduct", 'var(--c1)'],
  ['plain Fastify', 'var(--c2)'],
  ['Fastify with piscina', 'var(--c3)'],
  ['piscina', 'var(--c3)'],
  ['LitServe', 'var(--c4)'],
  ['Mosec', 'var(--c5)'],
  ['tinypool', 'var(--c4)'],
  ['poolifier', 'var(--c5)'],
  ['workerpool', 'var(--c6)'],
  ['child_process', 'var(--c2)'],
  ['threads, cloned', 'var(--c3)'],
  ['threads, transferred', 'var(--c4)'],
  ['processes, IPC', 'var(--c2)'],
  ['no overhead', 'var(--muted)'],
]

/** How a side is drawn. What is the same side in another mode has its colour, lighter and dashed. */
export interface Style {
  readonly colour: string
  readonly opacity: number
  readonly dash: string
  readonly isOurs: boolean
}

export function styleOf(side: string): Style {
  const found = NAMED.find(([start]) => side.startsWith(start))
  const isVariant =
    found !== undefined && side !== found[0] && /, (?!aiohttp|Fastify|waiting 1 ms)/.test(side)
  const isIdeal = side.startsWith('no overhead')
  return {
    colour: found?.[1] ?? 'var(--c6)',
    opacity: isVariant ? 0.55 : 1,
    dash: isIdeal ? '2 4' : isVariant ? '6 4' : '',
    isOurs: side === 'aqueduct-ts' || side === 'aqueduct-ts, Fastify',
  }
}

/** The colours in light and in dark. */
export const colours = {
  light:
    '--bg:#fbfaf7;--panel:#ffffff;--text:#1d2330;--muted:#6b7280;--line:#e4e2db;--ours:#0f7b6c;--good:#0f7b6c;--bad:#b4462f;--c1:#c0692b;--c2:#5b6abf;--c3:#8c6bb1;--c4:#c2557d;--c5:#8a8f3c;--c6:#4f8fb3',
  dark: '--bg:#12151b;--panel:#1a1f28;--text:#e8eaf0;--muted:#98a1b3;--line:#2c3340;--ours:#3fc7b0;--good:#3fc7b0;--bad:#f0876d;--c1:#e69a5c;--c2:#8f9cf0;--c3:#b898de;--c4:#ea86ac;--c5:#c3c86d;--c6:#7fbfe0',
} as const
