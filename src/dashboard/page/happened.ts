import { byId, h, replace } from './dom.ts'
import { ago, clock, integer } from './format.ts'
import type { Model } from './model.ts'

const NOTHING = 'Nothing so far.'

export function drawProblems({ problems, samples }: Model): void {
  const now = samples.at(-1)?.at ?? 0
  const rows = problems.map((problem) => {
    const { message, times, at, stack, step, worker, pid, firstAt } = problem
    const who = step === undefined ? 'the flow' : `${step}, worker ${worker}, pid ${pid}`
    return h(
      'li',
      {},
      h(
        'details',
        { 'data-key': `${firstAt} ${step} ${message.replaceAll(/\d+/g, '#')}` },
        h(
          'summary',
          {},
          h('span', { class: 'message' }, message),
          h(
            'span',
            { class: 'about' },
            `${times > 1 ? `${integer(times)} times, last ` : ''}${ago(at, now)} · ${who}`,
          ),
        ),
        stack === undefined
          ? h('p', { class: 'note' }, 'It has no stack.')
          : h('pre', { tabindex: 0, 'aria-label': 'Stack' }, stack),
      ),
    )
  })
  replace(
    byId('problems'),
    rows.length > 0 ? h('ul', { class: 'problems' }, ...rows) : h('p', { class: 'note' }, NOTHING),
  )
}

const SHOWN = 20

export function drawEvents({ events, samples }: Model): void {
  const now = samples.at(-1)?.at ?? 0
  const rows = events
    .slice(0, SHOWN)
    .map(({ at, level, message }) =>
      h(
        'li',
        { 'data-level': level },
        h('time', { datetime: new Date(at).toISOString(), title: ago(at, now) }, clock(at)),
        h('span', {}, message),
      ),
    )
  replace(
    byId('events'),
    rows.length > 0 ? h('ol', { class: 'events' }, ...rows) : h('p', { class: 'note' }, NOTHING),
  )
}
