import { createHistogram } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import type { BaseTask, Flow, FlowStats, WorkerStats } from '../index.ts'
import { type Scene, describePlan } from './attempt.ts'
import type { ChaosProgress, ResolvedChaos } from './chaos-options.ts'
import { Ledger } from './ledger.ts'
import { Randomness } from './random.ts'
import { type ChaosReport, type Phases, phasesOf } from './report.ts'
import type { ChaosService } from './service.ts'
import { type StormCounts, rage } from './storm.ts'
import { Victims } from './victims.ts'
import { Watch } from './watch.ts'
import {
  type Pair,
  type WindowSettings,
  alternate,
  median,
  shareOf,
  windowSize,
} from './windows.ts'

/** Shares of the time; what is left goes to starting, warming up and coming to rest. */
const STORM = 0.55
const WINDOW = 0.005
/** Windows of each flow before the storm, and again after it; and those before them that do not count. */
const WINDOWS = 15
const WARM_UP = 6
/** The share of the time after which there are no more of them, on a machine that has become slow. */
const LONGEST = 0.25
const LOOK_EVERY = 10

/** One storm over a flow that runs: before, storm, rest, after. */
export class Run implements Disposable {
  readonly #settings: ResolvedChaos
  readonly #startedAt: number
  readonly #randomness: Randomness
  readonly #scene: Scene
  readonly #spared: Scene | undefined
  readonly #victims: Victims
  readonly #watch: Watch
  readonly #counts: StormCounts = { kills: 0, guestKills: 0, deadly: 0, hanging: 0 }
  readonly #latency: Phases<ReturnType<typeof createHistogram>> = {
    before: createHistogram(),
    during: createHistogram(),
    after: createHistogram(),
  }
  #phase: ChaosProgress['phase'] = 'before'
  #lastLook = { at: performance.now(), settled: 0 }

  constructor(
    service: ChaosService,
    flow: Flow<BaseTask>,
    spared: Flow<BaseTask> | undefined,
    settings: ResolvedChaos,
    startedAt: number,
  ) {
    this.#settings = settings
    this.#startedAt = startedAt
    this.#randomness = new Randomness(settings.seed)
    const sceneOf = (of: Flow<BaseTask>): Scene => ({
      service,
      flow: of,
      ledger: new Ledger(),
      latency: undefined,
      seenWorkers: new Set(),
      underWay: new Set(),
      outages: 0,
      isStormy: false,
    })
    this.#scene = sceneOf(flow)
    this.#spared = spared && sceneOf(spared)
    flow.on('state', (state) => {
      if (state === 'failed') this.#scene.outages++
    })
    this.#victims = new Victims(flow)
    this.#watch = new Watch(flow, this.#scene.ledger, settings.grace * 1000, (stats) =>
      this.#onLook(stats),
    )
  }

  async report(): Promise<ChaosReport> {
    const { seconds, inFlight } = this.#settings
    const scene = this.#scene
    const scenes = this.#spared === undefined ? [scene] : [scene, this.#spared]
    const windows = { randomness: this.#randomness, inFlight, signal: this.#settings.signal }
    const size = windowSize(scenes, windows, seconds * 1000 * WINDOW)
    const tasks = (await this.#watch.finish(size)) ?? inFlight
    const milliseconds = seconds * 1000 * LONGEST
    const measure = async (phase: 'before' | 'after'): Promise<readonly Pair[]> => {
      this.#enter('rest')
      await this.#watch.finish(alternate(scenes, windows, tasks, WARM_UP, milliseconds))
      this.#enter(phase)
      return (
        (await this.#watch.finish(alternate(scenes, windows, tasks, WINDOWS, milliseconds))) ?? []
      )
    }

    const before = await measure('before')
    const storm = await this.#storm()
    const recoveryMs = await this.#comeToRest()
    if (scene.ledger.hasOthers) scene.ledger.leaveOthersOut(scene.flow.stats().tasks)
    const handled = scene.flow.stats().steps.map((step) => step.tasks)
    scene.seenWorkers.clear()
    await this.#renewSpared()
    const after = await measure('after')
    await this.#reachEveryWorker(windows, tasks)
    await this.#comeToRest()
    this.#settings.signal.throwIfAborted()

    for (const plan of scene.underWay) scene.ledger.tell(`${describePlan(plan)} had no outcome`)
    const stats = scene.flow.stats()
    const idleSteps = stats.steps.filter(({ tasks: now }, step) => now > 0 && now === handled[step])
    const idleWorkers = this.#idleWorkers(stats)
    for (const { step, pid, state } of idleWorkers)
      scene.ledger.tell(`worker ${pid} of step ${step} is ${state} and has handled nothing`)
    return {
      seed: this.#settings.seed,
      seconds: (performance.now() - this.#startedAt) / 1000,
      kills: this.#counts.kills,
      guestKills: this.#counts.guestKills,
      harmful: { deadly: this.#counts.deadly, hanging: this.#counts.hanging },
      ...this.#books(stats),
      blocksInUseAtEnd: stats.memory.blocksInUse,
      wedged: scene.ledger.overdue + idleSteps.length + idleWorkers.length,
      strayProcesses: this.#victims.strays().length,
      state: scene.flow.state,
      restarts: restartsOf(stats),
      outages: scene.outages,
      recoveryMs,
      p50Ms: phasesOf((phase) => this.#latency[phase].percentile(50) / 1000),
      p99Ms: phasesOf((phase) => this.#latency[phase].percentile(99) / 1000),
      throughput: {
        before: median(before.map(({ flow }) => flow)),
        during: storm.throughput,
        after: median(after.map(({ flow }) => flow)),
      },
      ...shareOf(before, after),
      problems: [...scene.ledger.problems],
    }
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]()
  }

  async #storm(): Promise<{ readonly throughput: number }> {
    const { seconds, inFlight, signal } = this.#settings
    const { ledger } = this.#scene
    this.#enter('storm')
    const duration = seconds * 1000 * STORM
    const from = { at: performance.now(), completed: ledger.counts.completed }
    const settings = { ...this.#settings, randomness: this.#randomness, inFlight, duration }
    await this.#watch.finish(rage(this.#scene, this.#victims, settings, this.#counts, signal))
    const took = (performance.now() - from.at) / 1000
    return { throughput: (ledger.counts.completed - from.completed) / took }
  }

  /** Waits until every worker runs, nothing is pending and nobody holds memory. Returns milliseconds until all ran. */
  async #comeToRest(): Promise<number> {
    this.#enter('rest')
    const { flow } = this.#scene
    const start = performance.now()
    const grace = this.#settings.grace * 1000
    const until = async (is: (stats: FlowStats) => boolean, within: number): Promise<void> => {
      const end = performance.now() + within
      while (!is(flow.stats()) && performance.now() < end) {
        if (this.#settings.signal.aborted) return
        await delay(LOOK_EVERY)
      }
    }
    await until((stats) => this.#victims.areGone(stats.workers) && allRun(stats), grace)
    const took = performance.now() - start
    await until(isAtRest, grace)
    return took
  }

  /**
   * Gives the spared flow new workers where the other has none of those that it had: for its first seconds a worker is
   * slower, as V8 has not optimized its code yet.
   */
  async #renewSpared(): Promise<void> {
    const { flow, ledger } = this.#scene
    const { signal, grace } = this.#settings
    const { steps, workers } = flow.stats()
    for (const { name } of steps) {
      const hasOld = workers.some(({ step, restarts }) => step === name && restarts === 0)
      if (hasOld || signal.aborted) continue
      try {
        await this.#spared?.flow.reload(name, { timeout: grace * 1000 })
      } catch (error) {
        ledger.tell(`the spared flow could not get new workers for ${name}: ${String(error)}`)
      }
    }
  }

  #enter(phase: ChaosProgress['phase']): void {
    this.#phase = phase
    this.#scene.isStormy = phase === 'storm'
    this.#scene.latency =
      phase === 'rest' ? undefined : this.#latency[phase === 'storm' ? 'during' : phase]
  }

  #onLook(stats: FlowStats): void {
    this.#victims.see(stats.workers)
    const { counts, settled } = this.#scene.ledger
    const at = performance.now()
    const tasksPerSecond = ((settled - this.#lastLook.settled) / (at - this.#lastLook.at)) * 1000
    this.#lastLook = { at, settled }
    this.#settings.onProgress({
      phase: this.#phase,
      elapsed: (at - this.#startedAt) / 1000,
      tasksPerSecond,
      kills: this.#counts.kills,
      restarts: restartsOf(stats),
      tasks: counts,
    })
  }

  /** What became of the tasks, by the callers' books and against the flow's. */
  #books({ tasks }: FlowStats) {
    const { ledger } = this.#scene
    const { pending, ...counts } = ledger.counts
    const { completed, failed, timedOut, cancelled } = tasks
    ledger.compare(tasks)
    return {
      ...counts,
      failedBy: { ...ledger.failedBy },
      lost: pending,
      settledTwice: Math.max(0, completed + failed + timedOut + cancelled - ledger.settledByAll),
      wrongResults: ledger.wrongResults + (this.#spared?.ledger.wrongResults ?? 0),
      imbalances: ledger.imbalances,
    }
  }

  /** Has tasks handled until each worker has had one, where that can be told; for as long as the grace. */
  async #reachEveryWorker(windows: WindowSettings, tasks: number): Promise<void> {
    const { flow } = this.#scene
    const until = performance.now() + this.#settings.grace * 1000
    while (this.#idleWorkers(flow.stats()).length > 0 && performance.now() < until) {
      const more = alternate([this.#scene], windows, tasks, 1, 0)
      if ((await this.#watch.finish(more)) === undefined || windows.signal.aborted) return
    }
  }

  /** Workers that do not run, and those that have handled nothing since the storm, where that can be told. */
  #idleWorkers({ workers }: FlowStats): WorkerStats[] {
    const { service, seenWorkers } = this.#scene
    return workers.filter(
      ({ state, pid }) =>
        state !== 'running' || (service.workersOf !== undefined && !seenWorkers.has(pid)),
    )
  }
}

const allRun = ({ workers }: FlowStats): boolean =>
  workers.every(({ state }) => state === 'running')

const isAtRest = ({ memory, tasks }: FlowStats): boolean =>
  memory.blocksInUse === 0 && tasks.pending === 0

const restartsOf = ({ workers }: FlowStats): number =>
  workers.reduce((sum, { restarts }) => sum + restarts, 0)
