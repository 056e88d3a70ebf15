import type { FlowSample, StepSample } from 'aqueduct-ts'
import { byId, h, hidden, replace, styled } from './dom.ts'
import { count, duration, integer, number, percent } from './format.ts'
import { type Model, lately, perSecond, sum } from './model.ts'

const SHORTLY_MS = 5_000

interface StepFigures {
  readonly busy: number
  readonly waiting: number
  readonly oldestMs: number
  /** How full the fullest of its queues is, 0 to 1. */
  readonly fill: number
  readonly perSecond: number
  readonly batch: number
  readonly handleMs: number
  readonly queueMs: number
}

/** The mean of the last seconds, weighted by how often it was measured. */
function mean(
  steps: readonly StepSample[],
  value: 'handleMs' | 'queueMs',
  weight: 'batches' | 'tasks',
): number {
  const all = sum(steps.map((step) => step[weight]))
  return all > 0 ? sum(steps.map((step) => step[value] * step[weight])) / all : 0
}

function figuresOf(index: number, samples: readonly FlowSample[], queueSize: number): StepFigures {
  const steps = samples.flatMap((sample) => sample.steps[index] ?? [])
  const waiting = steps.at(-1)?.waiting ?? []
  const batches = sum(steps.map((step) => step.batches))
  return {
    busy: steps.length > 0 ? sum(steps.map(({ busy }) => busy)) / steps.length : 0,
    waiting: sum(waiting.map(({ tasks }) => tasks)),
    oldestMs: Math.max(0, ...waiting.map(({ oldestMs }) => oldestMs)),
    fill: Math.min(1, Math.max(0, ...waiting.map(({ tasks }) => tasks / queueSize))),
    perSecond:
      samples.length > 0
        ? sum(samples.map((sample) => perSecond(sample.steps[index]?.tasks ?? 0, sample))) /
          samples.length
        : 0,
    batch: batches > 0 ? sum(steps.map(({ tasks }) => tasks)) / batches : 0,
    handleMs: mean(steps, 'handleMs', 'batches'),
    queueMs: mean(steps, 'queueMs', 'tasks'),
  }
}

/** A worker as a cell. */
function cell(worker: Model['view']['stats']['workers'][number], tasks: number): HTMLElement {
  const state = worker.state === 'running' ? (tasks > 0 ? 'busy' : 'idle') : worker.state
  const doing = {
    busy: `at work on ${count(tasks, 'task')}`,
    idle: 'idle',
    starting: 'starting',
    ending: 'ending',
    dead: 'dead',
  }[state]
  const words = `Worker ${worker.index}, ${worker.pid > 0 ? `pid ${worker.pid}, ` : ''}${doing}`
  return h('li', { class: 'cell', 'data-state': state, title: words }, hidden(words))
}

export function drawPipeline({ samples, view, verdict }: Model): void {
  const shortly = lately(samples, SHORTLY_MS)
  const { bottleneck } = verdict
  const steps = view.steps.map((step, index) => {
    const figures = figuresOf(index, shortly, step.queueSize)
    const isBottleneck = bottleneck?.step === index
    const workers = view.stats.workers.flatMap((worker, at) =>
      worker.step === step.name ? cell(worker, view.inHand[at]?.tasks ?? 0) : [],
    )
    const place = view.priorities > 1 ? `${step.queueSize} per priority` : integer(step.queueSize)
    const queue = h(
      'div',
      { class: 'queue', 'data-full': figures.fill >= 0.9 },
      h('div', { class: 'channel', 'aria-hidden': 'true' }, h('i', { class: 'water' })),
      h(
        'p',
        {},
        h('strong', {}, integer(figures.waiting)),
        ` waiting`,
        h('span', { class: 'about' }, `of ${place}`),
        h(
          'span',
          { class: 'about' },
          figures.waiting > 0 ? `for ${duration(figures.oldestMs)}` : '',
        ),
      ),
    )
    styled(queue, { '--fill': figures.fill })
    const facts: [string, string][] = [
      ['tasks', `${number(figures.perSecond)} /s`],
      ['in the queue', duration(figures.queueMs)],
      ['handling', duration(figures.handleMs)],
      ['batch', step.batchSize > 1 ? `${number(figures.batch)} of ${step.batchSize}` : '1'],
    ]
    const box = h(
      'div',
      { class: 'step', 'data-bottleneck': isBottleneck },
      h('h3', {}, step.name, isBottleneck && h('span', { class: 'badge' }, 'Bottleneck')),
      h('ul', { class: 'cells', 'aria-label': `Workers of ${step.name}` }, ...workers),
      styled(
        h(
          'p',
          { class: 'busy' },
          h('span', {}, `${percent(figures.busy)} busy`),
          h('i', { class: 'meter', 'aria-hidden': 'true' }),
        ),
        { '--busy': figures.busy },
      ),
      h(
        'dl',
        {},
        ...facts.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
      ),
    )
    return h('li', { 'data-flows': figures.perSecond > 0 }, queue, box)
  })
  replace(byId('pipeline'), ...steps)
}
