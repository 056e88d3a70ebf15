import type { FlowHealth } from '../flow-health.ts'
import type { FlowState } from '../flow-options.ts'
import type { FlowStats } from '../stats.ts'
import type { FlowEvent, FlowProblem } from './journal.ts'
import type { MemoryUse, TasksAt } from './occupancy.ts'
import type { FlowSample } from './sample.ts'
import type { SlowTask } from './slow-tasks.ts'

/** A step as it was set up. */
export interface StepView {
  readonly name: string
  /** Name of the handler's class. */
  readonly handler: string
  readonly isolation: 'process' | 'thread'
  readonly nprocs: number
  readonly batchSize: number
  /** Milliseconds. */
  readonly batchTimeout: number
  readonly concurrency: number
  /** Tasks that may wait in front of it, per priority. */
  readonly queueSize: number
}

/** A program of another process that has attached to the flow. */
export interface ClientView {
  readonly client: number
  readonly pid: number
}

/** A flow at this moment. Plain data. */
export interface FlowView {
  readonly state: FlowState
  /** The process that has started it. */
  readonly pid: number
  readonly address: string | undefined
  /** Milliseconds since 1970; undefined while it does not run. */
  readonly startedAt: number | undefined
  readonly steps: readonly StepView[]
  readonly priorities: number
  readonly maxPending: number
  /** Whether it keeps metrics. */
  readonly isMeasured: boolean
  /** `flow.health()` of this moment. */
  readonly health: FlowHealth
  /** `flow.stats()` of this moment. */
  readonly stats: FlowStats
  /** What each worker has in its hands, in the order of `stats.workers`. */
  readonly inHand: readonly TasksAt[]
  readonly memory: readonly MemoryUse[]
  readonly clients: readonly ClientView[]
  /** The slowest of the last five minutes, the slowest first. */
  readonly slowTasks: readonly SlowTask[]
  /** The latest first. */
  readonly problems: readonly FlowProblem[]
  /** The latest first. */
  readonly events: readonly FlowEvent[]
}

/** Who watches a flow. */
export interface FlowWatcher {
  /** What was sampled so far, up to five minutes, the eldest first. Called before anything else. */
  onHistory(samples: readonly FlowSample[]): void
  /** Called at once, then every second. */
  onSample(sample: FlowSample, view: FlowView): void
  /** Nothing is seen of the flow any more, until `onHistory` is called again. Only of a flow in another process. */
  onLost?(why: string): void
}

/** A flow that can be watched: a `Flow`, or a `FlowObserver` of one in another process. */
export interface Watchable {
  /** Returns a function that ends it. */
  watch(watcher: FlowWatcher): () => void
}
