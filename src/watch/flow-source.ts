import type { FlowHealth } from '../flow-health.ts'
import type { FlowMetrics } from '../flow-metrics.ts'
import type { FlowState, ResolvedFlow } from '../flow-options.ts'
import type { WorkerReport } from '../runtime/seat.ts'
import type { FlowStats } from '../stats.ts'
import type { FlowStep } from '../step.ts'
import { type Control, workerActor } from '../transport/control.ts'
import type { Journal } from './journal.ts'
import { Occupancy, type TasksAt } from './occupancy.ts'
import type { Reading } from './sample.ts'
import type { SlowTasks } from './slow-tasks.ts'
import type { ClientView, FlowView, StepView } from './view.ts'
import type { WatchSource } from './watch.ts'

/** What a flow lets its watchers see. */
export interface WatchedFlow {
  readonly options: ResolvedFlow
  readonly steps: readonly StepView[]
  readonly journal: Journal
  readonly slowTasks: SlowTasks
  state(): FlowState
  /** Undefined while the flow is stopped. */
  run(): WatchedRun | undefined
  health(): FlowHealth
  metrics(): FlowMetrics
  stats(): FlowStats
}

/** What a run of a flow lets its watchers see. */
export interface WatchedRun {
  readonly control: Control
  readonly startedAt: number
  /** The workers, with the number of each among those of its step, in the order of `stats().workers`. */
  seats(): readonly {
    readonly step: number
    readonly number: number
    readonly report: WorkerReport
  }[]
  clients(): readonly ClientView[]
  whenBusy(callback: () => void): void
}

export function stepViewOf(
  { handler, options }: Pick<FlowStep<never>, 'handler' | 'options'>,
  name: string,
): StepView {
  const { isolation, nprocs, batchSize, batchTimeout, concurrency, queueSize } = options
  return {
    name,
    handler: handler.name,
    isolation,
    nprocs,
    batchSize,
    batchTimeout,
    concurrency,
    queueSize,
  }
}

const SLOW_TASKS = 20
const NO_TASKS: TasksAt = { tasks: 0, oldestMs: 0 }

/** Reads a flow for those who watch it. */
export class FlowSource implements WatchSource {
  readonly #flow: WatchedFlow

  constructor(flow: WatchedFlow) {
    this.#flow = flow
  }

  read(): Reading {
    const { steps } = this.#flow
    const run = this.#flow.run()
    const occupancy = run && new Occupancy(run.control)
    const running = run?.seats().filter(({ report }) => report.state === 'running') ?? []
    const lanes = steps.map(
      ({ concurrency }, step) => concurrency * running.filter((seat) => seat.step === step).length,
    )
    const occupied = steps.map(({ concurrency }, step) => {
      const busy = running.filter(
        (seat) =>
          seat.step === step &&
          occupancy!.inHand(workerActor(run!.control.shape, step, seat.number)).tasks > 0,
      )
      return concurrency * busy.length
    })
    const blocks = run?.control.blocks
    return {
      at: Date.now(),
      time: performance.now(),
      state: this.#flow.state(),
      metrics: this.#flow.metrics(),
      waiting: steps.map((_, step) => occupancy?.waiting(step) ?? []),
      lanes,
      occupied,
      bytesInUse: (blocks?.pagesInUse() ?? 0) * 4096,
      bytesCommitted: (blocks?.pagesCommitted() ?? 0) * 4096,
    }
  }

  view(): FlowView {
    const { options, journal, steps } = this.#flow
    const run = this.#flow.run()
    const occupancy = run && new Occupancy(run.control)
    return {
      state: this.#flow.state(),
      pid: process.pid,
      address: options.address,
      startedAt: run?.startedAt,
      steps,
      priorities: options.queuePriorities,
      maxPending: options.maxPending,
      isMeasured: options.metrics,
      health: this.#flow.health(),
      stats: this.#flow.stats(),
      inHand:
        run === undefined || occupancy === undefined
          ? this.#flow.stats().workers.map(() => NO_TASKS)
          : run
              .seats()
              .map(({ step, number }) =>
                occupancy.inHand(workerActor(run.control.shape, step, number)),
              ),
      memory: occupancy?.memory() ?? [],
      clients: run?.clients() ?? [],
      slowTasks: this.#flow.slowTasks.list(run?.control.clock.now() ?? 0, SLOW_TASKS),
      problems: journal.problems,
      events: journal.events,
    }
  }

  whenBusy(callback: () => void): void {
    this.#flow.run()?.whenBusy(callback)
  }
}
