import { byId, h, replace, setText } from './dom.ts'
import { count, longDuration } from './format.ts'
import type { Model } from './model.ts'

export function drawHeader({ view, samples }: Model): void {
  const { address, pid, startedAt, clients } = view
  setText(byId('flow-name'), address ?? view.steps.map(({ name }) => name).join(' → '))
  const now = samples.at(-1)?.at ?? 0
  const facts = [
    `process ${pid}`,
    startedAt === undefined ? view.state : `up ${longDuration(now - startedAt)}`,
    clients.length > 0 ? `${count(clients.length, 'other program')} attached` : undefined,
    view.isMeasured ? undefined : 'keeps no metrics: only counts are known',
  ]
  setText(byId('flow-facts'), facts.filter((fact) => fact !== undefined).join(' · '))
}

const MARKS = { ok: '✓', warn: '!', bad: '✕', down: '■' } as const

export function drawVerdict({ verdict, view }: Model): void {
  const { level, title, reasons, bottleneck } = verdict
  document.body.dataset['level'] = level
  setText(byId('verdict-title'), title)
  document.title = `${MARKS[level]} ${title} – ${view.address ?? 'flow'} – aqueduct`
  replace(
    byId('reasons'),
    ...reasons.map((reason) => h('li', { 'data-level': reason.level }, reason.text)),
  )
  setText(
    byId('bottleneck'),
    bottleneck?.text ?? 'No step holds the others up: tasks pass as fast as they come.',
  )
}
