import { byId, h, replace, styled, table } from './dom.ts'
import { count, duration, integer, number, percent } from './format.ts'
import { type Model, lately, sum } from './model.ts'

export function drawQueues({ samples, view }: Model): void {
  const now = samples.at(-1)
  const rows = view.steps.flatMap(({ name, queueSize }, step) =>
    (now?.steps[step]?.waiting ?? [])
      .map((waiting, priority) => ({ name, queueSize, priority, ...waiting }))
      .toReversed(),
  )
  replace(
    byId('queues'),
    table(
      'What waits, by step and priority',
      [
        {
          title: 'In front of',
          cell: ({ name, priority }) =>
            view.priorities > 1 ? `${name}, priority ${priority}` : name,
        },
        {
          title: 'Waiting',
          isNumber: true,
          cell: ({ tasks }) => integer(tasks),
        },
        {
          title: 'Full',
          cell: ({ tasks, queueSize }) =>
            styled(
              h(
                'span',
                { class: 'level' },
                `${percent(tasks / queueSize)} of ${integer(queueSize)}`,
                h('i', { class: 'meter', 'aria-hidden': 'true' }),
              ),
              { '--busy': Math.min(1, tasks / queueSize) },
            ),
        },
        {
          title: 'Oldest',
          isNumber: true,
          cell: ({ tasks, oldestMs }) => (tasks > 0 ? duration(oldestMs) : '–'),
        },
      ],
      rows,
    ),
  )
}

const MINUTE_MS = 60_000
const MOST_BARS = 16

/** Labels that there is no room for. */
const isMinor = (index: number, bars: number): boolean => bars > 8 && index % 5 !== 0

/** Sizes as ranges, so that there are not more bars than fit. */
function barsOf(
  sizes: ReadonlyMap<number, number>,
  batchSize: number,
): { label: string; batches: number }[] {
  const width = Math.ceil(batchSize / MOST_BARS)
  return Array.from({ length: Math.ceil(batchSize / width) }, (_, index) => {
    const from = index * width + 1
    const to = Math.min(batchSize, from + width - 1)
    const batches = sum([...sizes].map(([size, times]) => (size >= from && size <= to ? times : 0)))
    return { label: from === to ? String(from) : `${from}–${to}`, batches }
  })
}

export function drawBatches({ samples, view }: Model): void {
  const minute = lately(samples, MINUTE_MS)
  const figures = view.steps.map(({ name, batchSize, batchTimeout }, step) => {
    const sizes = new Map<number, number>()
    for (const sample of minute)
      for (const [size, times] of sample.steps[step]?.batchSizes ?? [])
        sizes.set(size, (sizes.get(size) ?? 0) + times)
    const steps = minute.flatMap((sample) => sample.steps[step] ?? [])
    const batches = sum(steps.map((it) => it.batches))
    const mean = batches > 0 ? sum(steps.map(({ tasks }) => tasks)) / batches : 0
    const plan =
      batchSize === 1
        ? 'takes tasks one by one'
        : `up to ${batchSize}${batchTimeout > 0 ? `, waits ${duration(batchTimeout)} for them` : ', never waits for more'}`
    const bars = barsOf(sizes, batchSize)
    const most = Math.max(1, ...bars.map((bar) => bar.batches))
    return h(
      'div',
      { class: 'batches' },
      h('h4', {}, name, h('span', { class: 'about' }, plan)),
      h(
        'p',
        {},
        batches === 0
          ? 'No batch in the last minute.'
          : `${count(batches, 'batch', 'batches')} in the last minute, ${number(mean)} tasks each on average.`,
      ),
      batchSize > 1 &&
        h(
          'ol',
          { class: 'bars', 'aria-label': `Batches of ${name} by their size` },
          ...bars.map((bar, index) =>
            styled(
              h(
                'li',
                { title: `${count(bar.batches, 'batch', 'batches')} of ${bar.label}` },
                h('i', { 'aria-hidden': 'true' }),
                h(
                  'span',
                  { class: 'visually-hidden' },
                  `${count(bar.batches, 'batch', 'batches')} of `,
                ),
                h('span', { 'data-minor': isMinor(index, bars.length) }, bar.label),
              ),
              { '--height': bar.batches / most },
            ),
          ),
        ),
    )
  })
  replace(byId('batches'), ...figures)
}
