import { EventEmitter } from 'node:events'
import { flowDefaults } from './defaults.ts'
import { Diagnostics } from './diagnostics.ts'
import { InvalidOptionError, NotRunningError, StartError, toError } from './errors.ts'
import type { HandlerClass, HandlerConstructor } from './handler.ts'
import { type FlowHealth, readFlowHealth } from './flow-health.ts'
import { type FlowMetrics, readFlowMetrics } from './flow-metrics.ts'
import {
  type FlowEvents,
  type FlowOptions,
  type FlowState,
  type ProcessOptions,
  type ReloadOptions,
  type ResolvedFlow,
  type StartOptions,
  type StopOptions,
  resolveOptions,
  reloadRules,
  startRules,
  stopRules,
  checkWorkers,
} from './flow-options.ts'
import { type FlowPlan, FlowRun } from './flow-run.ts'
import { checkOptions } from './options.ts'
import { checkPlatform } from './platform.ts'
import { NO_OPTIONS, NumberedClasses, processTask } from './process-task.ts'
import { addRunningFlow, removeRunningFlow } from './running-flows.ts'
import { type FlowStats, stepStats, workerStats } from './stats.ts'
import { FlowStep } from './step.ts'
import type { BaseTask, TaskClassOf } from './task.ts'
import { acceptedClasses, checkConditions, warnOfPrivateState } from './task-classes.ts'
import { FlowSource, stepViewOf } from './watch/flow-source.ts'
import { Journal } from './watch/journal.ts'
import { SlowTasks } from './watch/slow-tasks.ts'
import type { FlowWatcher } from './watch/view.ts'
import { Watch } from './watch/watch.ts'
import { isFlowWorker, reportFlowStart } from './worker/flow-worker.ts'

/**
 * A pipeline of steps, each in worker processes of its own, joined by queues in shared memory.
 *
 * @example
 * ```ts
 * import { Flow, FlowStep } from 'aqueduct-ts'
 * import { SumHandler, SumTask } from './sum.ts'
 *
 * await using flow = new Flow([new FlowStep(SumHandler, { nprocs: 2, batchSize: 16 })])
 * await flow.start()
 * const { sum } = await flow.process(new SumTask(10), { timeout: 5_000 })
 * ```
 */
export class Flow<Task extends BaseTask>
  extends EventEmitter<FlowEvents>
  implements AsyncDisposable
{
  readonly #steps: readonly FlowStep<Task>[]
  readonly #names: readonly string[]
  /** Of each step's handler: those of the last reload. */
  readonly #args: (readonly unknown[])[]
  readonly #options: ResolvedFlow
  readonly #taskClasses = new NumberedClasses()
  readonly #diagnostics = new Diagnostics(this)
  #state: FlowState = 'created'
  #run: FlowRun | undefined
  #starting: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #lastMetrics: FlowMetrics | undefined
  #lastStats: FlowStats | undefined
  readonly #journal = new Journal()
  readonly #slowTasks = new SlowTasks()
  readonly #watch: Watch

  /** @throws InvalidOptionError, InvalidHandlerError */
  constructor(
    steps: readonly (FlowStep<Task> | HandlerConstructor<Task, []>)[],
    options: FlowOptions = {},
  ) {
    super()
    checkPlatform()
    if (!Array.isArray(steps) || steps.length === 0) {
      throw new InvalidOptionError(
        'steps',
        'a flow needs at least one step: new Flow([new FlowStep(MyHandler)])',
      )
    }
    this.#steps = steps.map((step: FlowStep<Task> | HandlerConstructor<Task, []>) =>
      // A bare class has no step of its own yet; what its `task` names is checked by the step.
      step instanceof FlowStep ? step : new FlowStep(step as HandlerClass<Task, []>),
    )
    this.#names = uniqueNames(this.#steps.map(({ options: { name } }) => name))
    for (const taskClass of acceptedClasses(this.#steps)) {
      warnOfPrivateState(taskClass as { readonly name: string })
      this.#taskClasses.set(taskClass, this.#taskClasses.size)
    }
    this.#args = this.#steps.map(({ options: { args } }) => args)
    checkConditions(this.#steps)
    this.#options = resolveOptions(options)
    checkWorkers(
      this.#steps.map(({ options: { nprocs } }) => nprocs),
      this.#options.maxClients,
    )
    this.#watch = new Watch(
      new FlowSource({
        options: this.#options,
        steps: this.#steps.map((step, index) => stepViewOf(step, this.#names[index]!)),
        journal: this.#journal,
        slowTasks: this.#slowTasks,
        state: () => this.#state,
        run: () => this.#run,
        health: () => this.health(),
        metrics: () => this.metrics(),
        stats: () => this.stats(),
      }),
    )
  }

  get state(): FlowState {
    return this.#state
  }

  get isRunning(): boolean {
    return this.#state === 'running'
  }

  /** The classes of tasks that its handlers take. */
  get taskClasses(): readonly TaskClassOf<Task>[] {
    return [...this.#taskClasses.keys()] as TaskClassOf<Task>[] // what the handlers' `task` names
  }

  /**
   * Starts all workers at once and resolves when each has finished its `onStart`. After a failure no worker is left,
   * and the flow can be started again.
   *
   * @throws StartError, InvalidHandlerError
   */
  async start(options: StartOptions = {}): Promise<void> {
    checkOptions('start()', options, startRules)
    if (isFlowWorker()) {
      reportFlowStart()
      throw new StartError('a flow cannot be started inside a worker of a flow', {
        code: 'AQ_FLOW_IN_WORKER',
      })
    }
    if (this.#state !== 'created' && this.#state !== 'stopped') {
      throw new StartError(
        `the flow is ${this.#state}: it can be started when it is new or stopped`,
      )
    }
    this.#starting = this.#start(options.timeout ?? flowDefaults.startTimeout)
    await this.#starting
  }

  /**
   * Has a task handled and resolves with the same task, filled in.
   *
   * @throws TaskTimeoutError, TaskCancelledError, HandlerError, WorkerDiedError, PoisonedTaskError, HandlerTimeoutError,
   *   QueueFullError, NotRunningError, CodecError, PayloadTooLargeError, OutOfMemoryError, InvalidTaskError,
   *   FlowStoppedError, StartError
   */
  process<T extends Task>(task: T, options: ProcessOptions = NO_OPTIONS): Promise<T> {
    return processTask(this, this.#run?.client, this.#state, this.#taskClasses, task, options)
  }

  /**
   * Stops the flow. Graceful (the default): no new tasks, what is admitted is finished, then the workers end; past
   * `timeout` they are ended by force and what is left fails with `FlowStoppedError`. Otherwise all of that at once.
   * A flow that is still starting is stopped at once: its `start()` rejects.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    checkOptions('stop()', options, stopRules)
    if (this.#state === 'created') this.#enter('stopped')
    if (this.#state === 'stopped') return this.#stopped
    if (this.#state === 'starting') {
      this.#run?.supervisor.abandonStart()
      const [start] = await Promise.allSettled([this.#starting])
      // The last worker may have become ready just before.
      return start.status === 'fulfilled' ? this.stop(options) : undefined
    }
    if (this.#run === undefined) return this.#stopped
    this.#stopped ??= this.#stop(
      this.#run,
      options.graceful ?? true,
      options.timeout ?? flowDefaults.stopTimeout,
    )
    return this.#stopped
  }

  /**
   * Replaces the workers of a step while the flow runs, so that no task fails: new ones with other `args` (or the same:
   * they load the handler's module and its model anew) become ready beside the present ones, take over, and the present
   * ones finish their batches and end. For that time the step needs the memory of both. When a new worker cannot start,
   * the present ones go on.
   *
   * @param step - the step, its handler's class, or its name
   * @throws StartError, InvalidOptionError, NotRunningError
   *
   * @example
   * ```ts
   * import { Flow, FlowStep } from 'aqueduct-ts'
   * import { SumHandler } from './sum.ts'
   *
   * const sums = new FlowStep(SumHandler, { nprocs: 2 })
   * await using flow = new Flow([sums])
   * await flow.start()
   * await flow.reload(sums)
   * ```
   */
  async reload<Args extends readonly unknown[]>(
    step: FlowStep<Task, Args> | HandlerConstructor<Task, Args> | string,
    options: ReloadOptions<Args> = {},
  ): Promise<void> {
    checkOptions('reload()', options, reloadRules)
    const index = this.#steps.findIndex(
      (it, at) => it === step || it.handler === step || this.#names[at] === step,
    )
    if (index < 0) {
      throw new InvalidOptionError(
        'step',
        `the flow has no such step; its steps are ${this.#names.join(', ')}`,
      )
    }
    if (this.#state !== 'running' || this.#run === undefined) throw new NotRunningError(this.#state)
    const { supervisor } = this.#run
    await this.#diagnostics.reload(this.#names[index]!, () =>
      supervisor.reload(index, options.args, {
        startTimeout: options.timeout ?? flowDefaults.startTimeout,
        drainTimeout: options.drainTimeout ?? flowDefaults.drainTimeout,
      }),
    )
    if (options.args !== undefined) this.#args[index] = options.args // also when it is started again
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /**
   * Whether the flow can do work: it runs, and every step has a worker that waits for tasks or gets on with them. A worker
   * that has been busy with one batch for longer than the step's `handleTimeout` (30 s without one) does not count. Says
   * which step is not ready, and why. Reads shared memory, and nothing else: ask as often as you like.
   *
   * @example
   * ```ts
   * import { Flow } from 'aqueduct-ts'
   * import { SumHandler } from './sum.ts'
   *
   * const flow = new Flow([SumHandler])
   * const { isReady, reason } = flow.health()
   * console.log(isReady, reason) // false the flow is created
   * ```
   */
  health(): FlowHealth {
    return readFlowHealth(this.#run?.control, this.#state, this.#names)
  }

  /** The flow in figures, read from shared memory; those of its end once it has stopped. */
  stats(): FlowStats {
    if (this.#lastStats !== undefined) return this.#lastStats
    const metrics = this.metrics()
    const blocks = this.#run?.control.blocks
    return {
      tasks: metrics.tasks,
      steps: stepStats(metrics),
      workers: workerStats(this.#run?.supervisor.workers() ?? []),
      memory: {
        blocksInUse: blocks?.blocksInUse() ?? 0,
        bytesInUse: (blocks?.pagesInUse() ?? 0) * 4096,
        bytesCommitted: (blocks?.pagesCommitted() ?? 0) * 4096,
        bytesMax: this.#options.memory,
      },
    }
  }

  /**
   * What the flow has measured since it was started: sums and histograms that only grow, for exporters of metrics; those
   * of its end once it has stopped.
   *
   * @example
   * ```ts
   * import { Flow, quantileOf } from 'aqueduct-ts'
   * import { SumHandler } from './sum.ts'
   *
   * const flow = new Flow([SumHandler])
   * const { tasks, totalMs } = flow.metrics()
   * console.log(tasks.completed, quantileOf(totalMs, 0.99))
   * ```
   */
  metrics(): FlowMetrics {
    if (this.#lastMetrics !== undefined) return this.#lastMetrics
    const { queuePriorities, metrics } = this.#options
    const supervisor = this.#run?.supervisor
    const workers = supervisor?.workers() ?? []
    return readFlowMetrics(this.#run?.control, {
      isEnabled: metrics,
      priorities: queuePriorities,
      steps: this.#steps.map(({ options: { batchSize } }, step) => ({
        name: this.#names[step]!,
        batchSize,
      })),
      workers: {
        running: workers.filter(({ state }) => state === 'running').length,
        died: supervisor?.lost ?? 0,
      },
    })
  }

  /**
   * Watches the flow: calls back at once and then every second with what happened in that second and what there is to see
   * now, until the returned function is called. From the first call on, the last five minutes are kept for those who come
   * later. Reading disturbs no worker, and while nobody watches an idle flow is left alone. It does not keep the program
   * alive.
   *
   * @example
   * ```ts
   * import { Flow } from 'aqueduct-ts'
   * import { SumHandler } from './sum.ts'
   *
   * await using flow = new Flow([SumHandler])
   * await flow.start()
   * const stop = flow.watch({
   *   onHistory: (samples) => console.log(`${samples.length} seconds are known`),
   *   onSample: ({ tasks }, { stats }) => console.log(tasks.completed, stats.workers.length),
   * })
   * stop()
   * ```
   */
  watch(watcher: FlowWatcher): () => void {
    return this.#watch.attach(watcher)
  }

  #enter(state: FlowState): void {
    const previous = this.#state
    this.#state = state
    this.#journal.event(state === 'failed' ? 'error' : 'info', `the flow is ${state}`)
    this.#watch.wake()
    if (state !== 'running') removeRunningFlow(this)
    else if (this.#run) addRunningFlow(this, this.#taskClasses, this.#run.client.uploads)
    this.emit('state', state)
    this.#diagnostics.state(state, previous)
  }

  async #start(timeout: number): Promise<void> {
    this.#enter('starting')
    this.#stopped = this.#lastMetrics = this.#lastStats = undefined
    const plan = {
      steps: this.#steps,
      names: this.#names,
      args: this.#args,
      options: this.#options,
      taskClasses: this.#taskClasses,
      diagnostics: this.#diagnostics,
      journal: this.#journal,
      slowTasks: this.#slowTasks,
      watched: this,
    }
    const run = this.#setUp(plan)
    try {
      await run.start(timeout)
      this.#enter('running')
      run.open()
    } catch (error) {
      this.#release(run)
      this.#enter('stopped')
      throw error
    }
  }

  #setUp(plan: FlowPlan): FlowRun {
    try {
      return (this.#run = new FlowRun(plan, {
        // A flow that stops goes on with that.
        onFailed: () => {
          if (this.#state !== 'stopping') this.#enter('failed')
        },
        onRecovered: () => {
          if (this.#state === 'failed') this.#enter('running')
        },
      }))
    } catch (cause) {
      this.#enter('stopped')
      throw new StartError(`the flow could not be set up: ${toError(cause).message}`, { cause })
    }
  }

  async #stop(run: FlowRun, graceful: boolean, timeout: number): Promise<void> {
    const failed = this.#state === 'failed'
    this.#enter('stopping')
    const until = performance.now() + timeout
    if (graceful && !failed) await run.drain(timeout)
    else run.client.failAll()
    await (graceful
      ? run.supervisor.stop(Math.max(100, until - performance.now()))
      : run.supervisor.kill())
    // Whatever the workers had finished is collected; what they had not is failed.
    run.client.failAll()
    this.#release(run)
    this.#enter('stopped')
  }

  #release(run: FlowRun): void {
    this.#lastMetrics = this.metrics()
    this.#lastStats = this.stats()
    run.release()
    this.#run = undefined
  }
}

function uniqueNames(names: readonly string[]): string[] {
  const seen = new Map<string, number>()
  return names.map((name) => {
    const count = (seen.get(name) ?? 0) + 1
    seen.set(name, count)
    return count === 1 ? name : `${name}#${count}`
  })
}
