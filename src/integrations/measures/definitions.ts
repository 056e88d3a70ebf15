import type { EdgeEnd, EdgeMetrics, FlowMetrics, FlowState, FlowStats } from '../../index.ts'
import { type Labels, type Point, point, pointsOf } from './points.ts'

/** What a flow shows at one moment. */
export interface Reading {
  readonly state: FlowState
  readonly metrics: FlowMetrics
  readonly stats: FlowStats
  /** Replacements of workers since the flow was registered, by step. */
  readonly restarts: ReadonlyMap<string, number>
}

/** A metric, and how its values are read. Those of counters and histograms grow as long as the flow runs. */
export interface Definition {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  readonly read: (reading: Reading) => Point[]
}

const MS = 1e-3

/** Upper bounds in milliseconds: from 78 µs, each twice the one before. */
const durations = Array.from({ length: 20 }, (_, index) => 0.078125 * 2 ** index)
/** In bytes: what is less than 256, and four times as much each. */
const sizes = Array.from({ length: 11 }, (_, index) => 256 * 4 ** index - 1)
/** Of tasks: a full batch of 2ⁿ tasks is the first in its bucket. */
const batches = Array.from({ length: 10 }, (_, index) => 2 ** (index + 1) - 1)

const states: readonly FlowState[] = [
  'created',
  'starting',
  'running',
  'stopping',
  'stopped',
  'failed',
]
const workerStates = ['starting', 'running', 'ending', 'dead'] as const

/** Where batches form: of tasks one by one there is nothing to say. */
const batching = ({ metrics }: Reading): FlowMetrics['steps'] =>
  metrics.steps.filter(({ batchSize }) => batchSize > 1)

const nameOf = ({ steps }: FlowMetrics, end: EdgeEnd): string =>
  end === 'client' ? 'client' : steps[end]!.name

const labelsOf = (metrics: FlowMetrics, { from, to, priority }: EdgeMetrics): Labels => ({
  from: nameOf(metrics, from),
  to: nameOf(metrics, to),
  priority: String(priority),
})

const byPriority = (counts: readonly number[], labels: Labels = {}): Point[] =>
  counts.map((count, priority) => point({ ...labels, priority: String(priority) }, count))

const ofSteps = (
  { metrics }: Reading,
  valueOf: (step: FlowMetrics['steps'][number]) => number,
): Point[] => metrics.steps.map((step) => point({ step: step.name }, valueOf(step)))

function workersByState({ stats }: Reading): Point[] {
  return stats.steps.flatMap(({ name }) =>
    workerStates.map((state) => {
      const count = stats.workers.filter((it) => it.step === name && it.state === state).length
      return point({ step: name, state }, count)
    }),
  )
}

/** Threads share the memory of their process: it counts once for each step. */
function workerMemory({ stats }: Reading): Point[] {
  return stats.steps.map(({ name }) => {
    const bytes = new Map(
      stats.workers
        .filter(({ step }) => step === name)
        .map(({ pid, rssAnonBytes }) => [pid, rssAnonBytes]),
    )
    return point(
      { step: name },
      [...bytes.values()].reduce((sum, one) => sum + one, 0),
    )
  })
}

export const definitions: readonly Definition[] = [
  {
    name: 'aqueduct_tasks_total',
    type: 'counter',
    help: 'Tasks by what became of them. Rejected ones were never admitted.',
    labels: ['outcome'],
    read: ({ metrics: { tasks } }) => [
      point({ outcome: 'completed' }, tasks.completed),
      point({ outcome: 'failed' }, tasks.failed),
      point({ outcome: 'timed_out' }, tasks.timedOut),
      point({ outcome: 'cancelled' }, tasks.cancelled),
      point({ outcome: 'rejected' }, tasks.rejected),
    ],
  },
  {
    name: 'aqueduct_tasks_pending',
    type: 'gauge',
    help: 'Tasks whose callers wait for them.',
    labels: [],
    read: ({ metrics: { tasks } }) => [point({}, tasks.pending)],
  },
  {
    name: 'aqueduct_task_duration_seconds',
    type: 'histogram',
    help: 'From process() to the outcome, of completed tasks.',
    labels: [],
    read: ({ metrics }) => pointsOf(metrics.totalMs, {}, durations, MS),
  },
  {
    name: 'aqueduct_transfer_duration_seconds',
    type: 'histogram',
    help: 'Time of a task on its way to a step, waiting in its queue included, or back to the client.',
    labels: ['from', 'to', 'priority'],
    read: ({ metrics }) =>
      metrics.edges.flatMap((edge) =>
        pointsOf(edge.transferMs, labelsOf(metrics, edge), durations, MS),
      ),
  },
  {
    name: 'aqueduct_task_size_bytes',
    type: 'histogram',
    help: 'Size of a task on its way: its fields, and the payloads in shared memory.',
    labels: ['from', 'to', 'priority'],
    read: ({ metrics }) =>
      metrics.edges.flatMap((edge) => pointsOf(edge.taskBytes, labelsOf(metrics, edge), sizes, 1)),
  },
  {
    name: 'aqueduct_batch_wait_duration_seconds',
    type: 'histogram',
    help: 'Time in which a batch was gathered, from its first task on.',
    labels: ['step'],
    read: (reading) =>
      batching(reading).flatMap(({ name, batchMs }) =>
        pointsOf(batchMs, { step: name }, durations, MS),
      ),
  },
  {
    name: 'aqueduct_batch_tasks',
    type: 'histogram',
    help: 'Tasks of a batch.',
    labels: ['step'],
    read: (reading) =>
      batching(reading).flatMap(({ name, batchTasks }) =>
        pointsOf(batchTasks, { step: name }, batches, 1),
      ),
  },
  {
    name: 'aqueduct_handle_duration_seconds',
    type: 'histogram',
    help: 'Time that the handler took for a batch.',
    labels: ['step'],
    read: ({ metrics }) =>
      metrics.steps.flatMap(({ name, handleMs }) =>
        pointsOf(handleMs, { step: name }, durations, MS),
      ),
  },
  {
    name: 'aqueduct_step_tasks_total',
    type: 'counter',
    help: 'Tasks that a step has handled, whatever the outcome.',
    labels: ['step'],
    read: (reading) => ofSteps(reading, ({ taskHandleMs }) => taskHandleMs.count),
  },
  {
    name: 'aqueduct_step_failed_tasks_total',
    type: 'counter',
    help: 'Tasks that a step has failed.',
    labels: ['step'],
    read: (reading) => ofSteps(reading, ({ failed }) => failed),
  },
  {
    name: 'aqueduct_step_expired_tasks_total',
    type: 'counter',
    help: 'Tasks whose deadline had passed when a step claimed them.',
    labels: ['step'],
    read: (reading) => ofSteps(reading, ({ expired }) => expired),
  },
  {
    name: 'aqueduct_queue_tasks',
    type: 'gauge',
    help: 'Tasks that wait in front of a step.',
    labels: ['step', 'priority'],
    read: ({ metrics }) =>
      metrics.steps.flatMap(({ name, waiting }) => byPriority(waiting, { step: name })),
  },
  {
    name: 'aqueduct_finished_tasks',
    type: 'gauge',
    help: 'Tasks that are finished and wait for their client to take them.',
    labels: ['priority'],
    read: ({ metrics }) => byPriority(metrics.finished),
  },
  {
    name: 'aqueduct_flow_state',
    type: 'gauge',
    help: '1 for the state in which the flow is, 0 for the others.',
    labels: ['state'],
    read: ({ state }) => states.map((it) => point({ state: it }, it === state ? 1 : 0)),
  },
  {
    name: 'aqueduct_workers',
    type: 'gauge',
    help: 'Workers by state.',
    labels: ['step', 'state'],
    read: workersByState,
  },
  {
    name: 'aqueduct_worker_deaths_total',
    type: 'counter',
    help: 'Workers that have ended when nobody had asked them to.',
    labels: [],
    read: ({ metrics: { workers } }) => [point({}, workers.died)],
  },
  {
    name: 'aqueduct_worker_restarts_total',
    type: 'counter',
    help: 'Workers that were started in the place of one that had died, since the flow was registered.',
    labels: ['step'],
    read: ({ metrics, restarts }) =>
      metrics.steps.map(({ name }) => point({ step: name }, restarts.get(name) ?? 0)),
  },
  {
    name: 'aqueduct_worker_memory_bytes',
    type: 'gauge',
    help: 'Memory of the processes of the workers that is their own: neither files nor shared memory.',
    labels: ['step'],
    read: workerMemory,
  },
  {
    name: 'aqueduct_memory_in_use_bytes',
    type: 'gauge',
    help: 'Shared memory that tasks in flight and results of the program hold.',
    labels: [],
    read: ({ stats: { memory } }) => [point({}, memory.bytesInUse)],
  },
  {
    name: 'aqueduct_memory_committed_bytes',
    type: 'gauge',
    help: 'Shared memory that the system has given, in use or warm for the next task.',
    labels: [],
    read: ({ stats: { memory } }) => [point({}, memory.bytesCommitted)],
  },
  {
    name: 'aqueduct_memory_max_bytes',
    type: 'gauge',
    help: 'Shared memory that the flow may take.',
    labels: [],
    read: ({ stats: { memory } }) => [point({}, memory.bytesMax)],
  },
]
