import type { SlowTask } from 'aqueduct-ts'
import { byId, h, hidden, replace, styled } from './dom.ts'
import { ago, count, duration, integer } from './format.ts'
import { type Model, sum } from './model.ts'

export function drawTotals({ view }: Model): void {
  const { tasks } = view.stats
  const rows: [id: keyof typeof tasks, name: string, about: string][] = [
    ['admitted', 'Admitted', 'all that were let in'],
    ['completed', 'Completed', 'their callers have the result'],
    ['pending', 'Pending', 'in the flow now'],
    ['failed', 'Failed', 'a handler threw, or its worker died'],
    ['timedOut', 'Timed out', 'not done by their deadline'],
    ['cancelled', 'Cancelled', 'their callers gave up'],
    ['rejected', 'Refused', 'more came than could be done in time; not among the admitted'],
  ]
  replace(
    byId('totals'),
    h(
      'dl',
      { class: 'totals' },
      ...rows.map(([id, name, about]) =>
        h(
          'div',
          { 'data-some': tasks[id] > 0, 'data-total': id },
          h('dt', {}, name, h('span', { class: 'about' }, about)),
          h('dd', {}, integer(tasks[id])),
        ),
      ),
    ),
  )
}

interface Part {
  readonly kind: 'wait' | 'queue' | 'batch' | 'handle' | 'transfer'
  readonly words: string
  readonly ms: number
}

function partsOf({ totalMs, steps, returnMs }: SlowTask): Part[] {
  const parts = steps.flatMap(({ step, queueMs, batchMs, handleMs, batchSize }): Part[] => [
    { kind: 'queue', words: `in the queue of ${step}`, ms: queueMs },
    { kind: 'batch', words: `in a forming batch of ${step}`, ms: batchMs },
    {
      kind: 'handle',
      words: `handled by ${step}${batchSize > 1 ? `, ${batchSize} together` : ''}`,
      ms: handleMs,
    },
  ])
  const before = totalMs - returnMs - sum(parts.map(({ ms }) => ms))
  return [
    {
      kind: 'wait',
      words: 'before the first queue, and between the steps',
      ms: Math.max(0, before),
    },
    ...parts,
    { kind: 'transfer', words: 'on the way back', ms: returnMs },
  ]
}

/** Parts below this share of the whole are told in words alone. */
const LEAST_SHARE = 0.002
const SHOWN = 8

function waterfall(task: SlowTask, now: number): HTMLElement {
  const parts = partsOf(task)
  const all = Math.max(task.totalMs, sum(parts.map(({ ms }) => ms)))
  let start = 0
  const bars = parts.flatMap(({ kind, ms }) => {
    const from = start
    start += ms
    if (ms / all < LEAST_SHARE) return []
    return styled(h('i', { 'data-kind': kind }), { '--from': from / all, '--share': ms / all })
  })
  const longest = parts.toSorted((a, b) => b.ms - a.ms)[0]!
  return h(
    'li',
    {},
    h(
      'details',
      { 'data-key': `${task.at} ${task.totalMs}` },
      h(
        'summary',
        {},
        h('strong', {}, duration(task.totalMs)),
        h('span', {}, task.task, task.alike > 0 && ` and ${count(task.alike, 'other')} with it`),
        h('span', { class: 'about' }, ago(task.at, now)),
        h('span', { class: 'waterfall', 'aria-hidden': 'true' }, ...bars),
        hidden(`Mostly ${longest.words}: ${duration(longest.ms)}.`),
      ),
      h(
        'ol',
        { class: 'parts' },
        ...parts
          .filter(({ ms }) => ms > 0)
          .map(({ kind, words, ms }) =>
            h(
              'li',
              {},
              h('i', { 'data-kind': kind, 'aria-hidden': 'true' }),
              h('span', {}, words),
              h('strong', {}, duration(ms)),
            ),
          ),
      ),
    ),
  )
}

export function drawSlowTasks({ slowTasks, samples }: Model): void {
  const now = samples.at(-1)?.at ?? 0
  const shown = slowTasks.slice(0, SHOWN)
  replace(
    byId('slow'),
    ...(shown.length === 0
      ? [h('p', { class: 'note' }, 'No task was completed for this program lately.')]
      : [
          h('ol', { class: 'slow' }, ...shown.map((task) => waterfall(task, now))),
          h(
            'p',
            { class: 'legend', 'aria-hidden': 'true' },
            ...(['queue', 'batch', 'handle', 'transfer', 'wait'] as const).map((kind) =>
              h('span', {}, h('i', { 'data-kind': kind }), LEGEND[kind]),
            ),
          ),
        ]),
  )
}

const LEGEND = {
  queue: 'queue',
  batch: 'batch wait',
  handle: 'handling',
  transfer: 'way back',
  wait: 'before and between',
} as const
