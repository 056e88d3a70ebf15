import { expect, test } from 'vitest'
import { judge } from '../../src/dashboard/verdict.ts'
import type { FlowHealth, FlowSample, FlowView, StepSample, WorkerStats } from '../../src/index.ts'

const NOW = 1_000_000

const step = (of: Partial<StepSample> = {}): StepSample => ({
  waiting: [{ tasks: 0, oldestMs: 0 }],
  tasks: 0,
  batches: 0,
  failed: 0,
  expired: 0,
  queueMs: 0,
  batchWaitMs: 0,
  handleMs: 0,
  busy: 0,
  batchSizes: [],
  ...of,
})

const sample = (
  steps: readonly StepSample[],
  tasks: Partial<FlowSample['tasks']> = {},
  at = NOW,
): FlowSample => ({
  at,
  periodMs: 1_000,
  state: 'running',
  tasks: {
    admitted: 0,
    completed: 0,
    failed: 0,
    timedOut: 0,
    cancelled: 0,
    rejected: 0,
    pending: 0,
    ...tasks,
  },
  latency: undefined,
  steps,
  bytesInUse: 0,
  bytesCommitted: 0,
})

const worker = (name: string, state: WorkerStats['state'] = 'running'): WorkerStats => ({
  step: name,
  index: 0,
  pid: 1,
  state,
  restarts: 0,
  rssAnonBytes: 0,
})

/** What `flow.health()` says, by the reasons of the steps that are not ready. */
const healthOf = (reasons: Readonly<Record<string, string>> = {}): FlowHealth => ({
  isReady: Object.keys(reasons).length === 0,
  state: 'running',
  reason: undefined,
  steps: ['A', 'B'].map((name) => ({
    name,
    isReady: reasons[name] === undefined,
    reason: reasons[name],
  })),
})

const viewOf = (
  workers: readonly WorkerStats[] = [worker('A'), worker('A'), worker('B')],
  of: Partial<FlowView> = {},
  bytesInUse = 0,
): FlowView =>
  ({
    state: 'running',
    steps: [
      { name: 'A', nprocs: 2, concurrency: 1, batchSize: 1, queueSize: 20 },
      { name: 'B', nprocs: 1, concurrency: 1, batchSize: 1, queueSize: 20 },
    ],
    health: healthOf(),
    stats: { workers, memory: { bytesInUse, bytesMax: 1_000 } },
    events: [],
    ...of,
  }) as unknown as FlowView

const waiting = (tasks: number) => [{ tasks, oldestMs: 1 }]
const levels = (samples: FlowSample[], view: FlowView): unknown => {
  const { level, reasons } = judge(samples, view)
  return [level, reasons.map(({ text }) => text)]
}

test('a flow at rest is healthy, and has no bottleneck', () => {
  expect(judge([sample([step(), step()])], viewOf())).toEqual({
    level: 'ok',
    title: 'Healthy',
    reasons: [],
    bottleneck: undefined,
  })
})

test('the step that is always busy sets the pace, however much waits in front of others', () => {
  const { level, bottleneck } = judge(
    [sample([step({ busy: 0.1, waiting: waiting(8) }), step({ busy: 0.97, waiting: waiting(3) })])],
    viewOf(),
  )
  expect(level).toBe('ok')
  expect(bottleneck).toEqual({
    step: 1,
    text: 'B sets the pace: its worker is 97 % busy, 3 tasks wait.',
  })
})

test('a step that waits for room in the next one is not the bottleneck: that one is', () => {
  const { bottleneck } = judge(
    [
      sample([
        step({ busy: 0.95, waiting: waiting(20) }),
        step({ busy: 0.7, waiting: waiting(20) }),
      ]),
    ],
    viewOf(),
  )
  expect(bottleneck?.step).toBe(1)
})

const atStep = (queueMs: number): unknown =>
  judge([sample([step({ busy: 0.7, tasks: 50, queueMs }), step()])], viewOf()).bottleneck?.step

test('a step that has enough to do is the bottleneck, though the machine gives its workers less than their time', () => {
  expect(atStep(40)).toBe(0) // 50 in a second, 40 ms each: 2 at a time, for 2 workers
  expect(atStep(39)).toBeUndefined()
})

test('one busy second among five is no bottleneck', () => {
  const samples = [0, 0, 0, 0, 1].map((busy, second) =>
    sample([step({ busy }), step()], {}, NOW - 4_000 + second * 1_000),
  )
  expect(judge(samples, viewOf()).bottleneck).toBeUndefined()
})

test.each([
  [
    { rejected: 1 },
    'bad',
    '1 task was refused in the last 10 seconds: more come than can be done in time.',
  ],
  [{ timedOut: 2 }, 'bad', '2 tasks timed out in the last 10 seconds.'],
  [{ failed: 1, completed: 99 }, 'warn', '1 task failed in the last 10 seconds.'],
  [{ failed: 1, completed: 1 }, 'bad', '1 task failed in the last 10 seconds.'],
])('what went wrong lately is told: %o', (tasks, level, text) => {
  expect(levels([sample([step(), step()], tasks)], viewOf())).toEqual([level, [text]])
  const long = [sample([step(), step()], tasks, NOW - 11_000), sample([step(), step()])]
  expect(levels(long, viewOf())).toEqual(['ok', []])
})

test('workers that are missing are told, the worst first', () => {
  const workers = [worker('A'), worker('A', 'starting'), worker('B', 'dead')]
  const health = healthOf({ B: 'no worker of it is ready' })
  const samples = [sample([step(), step({ waiting: waiting(1) })])]
  expect(levels(samples, viewOf(workers, { health }))).toEqual([
    'bad',
    ['B is not ready: no worker of it is ready, 1 task waits.', '1 of 2 workers of A are running.'],
  ])
})

test('a step that is not ready by the flow’s own health is told, though its workers run', () => {
  const reason = 'its only worker has been busy with one batch for too long (31000 ms)'
  const health = healthOf({ B: reason })
  const samples = [sample([step(), step()])]
  expect(levels(samples, viewOf(undefined, { health }))).toEqual([
    'bad',
    [`B is not ready: ${reason}.`],
  ])
})

test('a worker that ends since its successor is at work is not missed', () => {
  const workers = [worker('A'), worker('A'), worker('A', 'ending'), worker('B')]
  expect(levels([sample([step(), step()])], viewOf(workers))).toEqual(['ok', []])
})

const death = (at: number) =>
  viewOf(undefined, {
    events: [{ at, level: 'warn', message: 'worker 7 of step A ended with SIGKILL; …' }],
  })

test('a death is told for a minute', () => {
  const samples = [sample([step(), step()])]
  expect(levels(samples, death(NOW - 59_000))).toEqual([
    'warn',
    ['1 worker has died in the last minute.'],
  ])
  expect(levels(samples, death(NOW - 61_000))).toEqual(['ok', []])
})

test('memory that runs out is told', () => {
  const samples = [sample([step(), step()])]
  expect(judge(samples, viewOf(undefined, {}, 720)).level).toBe('warn')
  expect(judge(samples, viewOf(undefined, {}, 760)).level).toBe('bad')
})

test.each(['stopped', 'failed', 'stopping', 'created'] as const)(
  'a flow that is %s is down',
  (state) => {
    expect(judge([sample([step(), step()])], viewOf([], { state })).level).toBe('down')
  },
)
