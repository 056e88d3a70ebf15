import type { FlowMetrics, FlowState, FlowStats } from '../../index.ts'
import type { Collector } from './collector.ts'
import { type CollectedMetrics, memoryUsage, noTimers, periodOf, queueSizes } from './metrics.ts'

/** What an exporter needs of a flow. */
export interface MeasuredFlow {
  readonly state: FlowState
  metrics(): FlowMetrics
  stats(): FlowStats
  on(event: 'state', listener: (state: FlowState) => void): unknown
  off(event: 'state', listener: (state: FlowState) => void): unknown
}

/** What calls an exporter periodically. A test passes its own, and is the one who says when a period is over. */
export interface Timers {
  /** Calls back every `period` milliseconds until the returned function is called. Must not keep the program alive. */
  every(period: number, callback: () => void): () => void
}

export const systemTimers: Timers = {
  every: (period, callback) => {
    const timer = setInterval(callback, period).unref()
    return () => clearInterval(timer)
  },
}

/** Milliseconds from one look at the workers to the next. */
const PROCESSES_PERIOD = 1_000

/** What a session is made with. */
export interface SessionOptions {
  readonly collector: Collector
  readonly exportPeriod: number
  readonly timers: Timers
  readonly export: (metrics: CollectedMetrics) => void
  readonly onError: (error: unknown) => void
}

/** Collects the metrics of one flow from each of its starts to the stop after it, and hands them on period by period. */
export class Session {
  readonly #flow: MeasuredFlow
  readonly #options: SessionOptions
  /** Ends a timer each; none while the flow does not run. */
  #timers: readonly (() => void)[] = []
  #before: FlowMetrics | undefined
  #queueSizes: (readonly [string, number])[] = []
  #memoryUsage: (readonly [string, number])[] = []
  #running = 0

  constructor(flow: MeasuredFlow, options: SessionOptions) {
    this.#flow = flow
    this.#options = options
    flow.on('state', this.#onState)
    // What was measured before is not of the first period.
    if (flow.state === 'running') this.#begin(flow.metrics())
  }

  /** Exports what is left, and leaves the flow alone from now on. */
  close(): void {
    this.#flow.off('state', this.#onState)
    this.#end()
  }

  readonly #onState = (state: FlowState): void => {
    if (state === 'running') this.#begin(undefined)
    if (state === 'stopped') this.#end()
  }

  #begin(before: FlowMetrics | undefined): void {
    const { collector, exportPeriod, timers } = this.#options
    this.#before = before
    const every = (period: number, act: () => void): (() => void) =>
      timers.every(period, () => this.#try(act))
    const look = [{ period: PROCESSES_PERIOD, act: this.#lookAtProcesses }]
    if (collector.isCollectible('queueSize'))
      look.push({ period: collector.qsizeCollectPeriod, act: this.#lookAtQueues })
    for (const { act } of look) this.#try(act)
    this.#timers = [
      ...look.map(({ period, act }) => every(period, act)),
      every(exportPeriod, this.#export),
    ]
  }

  #end(): void {
    if (this.#timers.length === 0) return
    for (const stop of this.#timers) stop()
    this.#timers = []
    this.#try(this.#export)
  }

  /** Neither a timer nor the flow's change of state is a place to throw in. */
  #try(act: () => void): void {
    try {
      act()
    } catch (error) {
      this.#options.onError(error)
    }
  }

  readonly #lookAtQueues = (): void => {
    const metrics = this.#flow.metrics()
    if (metrics.isEnabled) this.#queueSizes.push(...queueSizes(metrics))
  }

  readonly #lookAtProcesses = (): void => {
    const stats = this.#flow.stats()
    this.#running += stats.workers.filter(({ state }) => state === 'running').length
    this.#memoryUsage.push(...memoryUsage(stats))
  }

  readonly #export = (): void => {
    const before = this.#before
    const now = this.#flow.metrics()
    const hasTimers = this.#options.collector.isCollectible('taskTimers')
    const collected: CollectedMetrics = {
      ...(hasTimers ? periodOf(now, before) : noTimers),
      queueSizes: this.#queueSizes,
      tasks: {
        complete: now.tasks.completed - (before?.tasks.completed ?? 0),
        timeout: now.tasks.timedOut - (before?.tasks.timedOut ?? 0),
        cancel: now.tasks.cancelled - (before?.tasks.cancelled ?? 0),
      },
      memoryUsage: this.#memoryUsage,
      processes: {
        running: this.#running,
        dead: now.workers.died - (before?.workers.died ?? 0),
      },
    }
    this.#before = now
    this.#queueSizes = []
    this.#memoryUsage = []
    this.#running = 0
    this.#options.export(collected)
  }
}
