import { EventEmitter } from 'node:events'
import { Client } from './client/client.ts'
import { flowDefaults } from './defaults.ts'
import { FlowStoppedError, InvalidOptionError, NotRunningError, StartError } from './errors.ts'
import type { HandlerClass, HandlerConstructor } from './handler.ts'
import { libc } from './memory/libc.ts'
import { FlowLog } from './flow-log.ts'
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
} from './flow-options.ts'
import { checkOptions } from './options.ts'
import { checkPlatform } from './platform.ts'
import { NO_OPTIONS, processTask } from './process-task.ts'
import { Attachments } from './runtime/attachments.ts'
import { FlowMemory } from './runtime/memory-files.ts'
import { OutputLabeller } from './runtime/output.ts'
import { type StepPlan, Supervisor } from './runtime/supervisor.ts'
import { type FlowStats, readStepStats, readTaskCounts } from './stats.ts'
import { FlowStep, taskClassesOf } from './step.ts'
import { BaseTask } from './task.ts'
import { checkConditions, nearest, warnOfPrivateState } from './task-classes.ts'
import { monotonic } from './transport/clock.ts'
import type { Control, FlowShape } from './transport/control.ts'
import { isFlowWorker, reportFlowStart } from './worker/flow-worker.ts'

/** The client that lives in the process that started the flow. */
const PARENT_CLIENT = 0

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
  readonly #options: ResolvedFlow
  readonly #taskClasses = new Map<unknown, number>()
  readonly #output = new OutputLabeller()
  #state: FlowState = 'created'
  #control: Control | undefined
  #client: Client | undefined
  #supervisor: Supervisor | undefined
  #memory: FlowMemory | undefined
  #attachments: Attachments | undefined
  #starting: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #lastStats: FlowStats | undefined

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
    for (const { handler } of this.#steps) {
      for (const taskClass of taskClassesOf(handler)) {
        if (this.#taskClasses.has(taskClass)) continue
        warnOfPrivateState(taskClass)
        this.#taskClasses.set(taskClass, this.#taskClasses.size)
      }
    }
    checkConditions(this.#steps)
    this.#options = resolveOptions(options)
  }

  get state(): FlowState {
    return this.#state
  }

  get isRunning(): boolean {
    return this.#state === 'running'
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
   * @throws TaskTimeoutError, TaskCancelledError, HandlerError, WorkerDiedError, QueueFullError, NotRunningError,
   *   CodecError, PayloadTooLargeError, OutOfMemoryError, InvalidTaskError, FlowStoppedError
   */
  process<T extends Task>(task: T, options: ProcessOptions = NO_OPTIONS): Promise<T> {
    return processTask(this.#client, this.#state, this.#taskClasses, task, options)
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
      this.#supervisor?.abandonStart()
      const [start] = await Promise.allSettled([this.#starting])
      // The last worker may have become ready just before.
      return start.status === 'fulfilled' ? this.stop(options) : undefined
    }
    this.#stopped ??= this.#stop(
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
    if (this.#state !== 'running' || this.#supervisor === undefined)
      throw new NotRunningError(this.#state)
    await this.#supervisor.reload(index, options.args, {
      startTimeout: options.timeout ?? flowDefaults.startTimeout,
      drainTimeout: options.drainTimeout ?? flowDefaults.drainTimeout,
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /** The flow in figures, read from shared memory; those of its end once it has stopped. */
  stats(): FlowStats {
    if (this.#lastStats !== undefined) return this.#lastStats
    const blocks = this.#control?.blocks
    return {
      tasks: readTaskCounts(this.#control),
      steps: this.#names.map((name, step) => readStepStats(name, step, this.#control)),
      workers: this.#supervisor?.workers() ?? [],
      memory: {
        blocksInUse: blocks?.blocksInUse() ?? 0,
        bytesInUse: (blocks?.pagesInUse() ?? 0) * 4096,
        bytesCommitted: (blocks?.pagesCommitted() ?? 0) * 4096,
        bytesMax: this.#options.memory,
      },
    }
  }

  #enter(state: FlowState): void {
    this.#state = state
    this.emit('state', state)
  }

  #build(): Supervisor {
    const { memory, maxPending, queuePriorities, payloadThreshold, spin, onWorkerDeath } =
      this.#options
    const log = new FlowLog(this.#options.logger)
    const shape: FlowShape = {
      clients: 1 + this.#options.maxClients,
      slotsPerClient: maxPending,
      priorities: queuePriorities,
      inlineBytes: flowDefaults.inlineBytes,
      memory,
      steps: this.#steps.map(({ options: { nprocs, queueSize } }) => ({
        workers: 2 * nprocs,
        queueSize,
      })),
      birth: monotonic(),
    }
    const conditions = this.#steps.map(({ options: { handleCondition } }) => handleCondition)
    const flowMemory = new FlowMemory(shape)
    const control = flowMemory.createControl(PARENT_CLIENT)
    const supervisor = new Supervisor(
      flowMemory,
      control,
      this.#plans(spin),
      conditions,
      payloadThreshold,
      {
        onOutput: (step, worker, pid, stream, written) =>
          this.#output.write(`${step}#${worker} ${pid}`, stream, written),
        onDeath: (death) => {
          const isReplaced = onWorkerDeath === 'restart'
          const cause = log.death(death, { isReplaced })
          if (!isReplaced) this.#fail(() => new FlowStoppedError({ cause }))
        },
        onRestart: (worker) => log.takeOver(worker),
        onLog: (worker, record) => log.worker(worker, record),
        onFailed: (error, death) => {
          log.failure(error, death)
          this.#fail(() => new StartError(error.message, { cause: error }))
        },
      },
    )
    this.#memory = flowMemory
    this.#control = control
    this.#supervisor = supervisor
    const names = this.#names
    this.#client = new Client(control, {
      maxPending,
      payloadThreshold,
      spin,
      bell: libc().dup(flowMemory.bells[PARENT_CLIENT]!.read),
      conditions,
      stepNames: names,
      deathCause: (number) => supervisor.deathCause(number),
      onSettled: (task, finished) => BaseTask.end(task as BaseTask, finished, names),
    })
    this.#attachments = this.#attachmentsOf(flowMemory, control, conditions, log)
    return supervisor
  }

  #attachmentsOf(
    memory: FlowMemory,
    control: Control,
    conditions: readonly (string | undefined)[],
    log: FlowLog,
  ): Attachments | undefined {
    const { address, payloadThreshold, spin } = this.#options
    if (address === undefined) return undefined
    const plan = {
      stepNames: this.#names,
      conditions,
      taskClasses: [...this.#taskClasses.keys()].map(
        (taskClass) => (taskClass as { name: string }).name,
      ),
      payloadThreshold,
      spin,
    }
    return new Attachments(control, memory, plan, address, {
      onAttached: (client, pid) => log.attached(client, pid),
      onDetached: (client, pid) => log.detached(client, pid),
    })
  }

  #plans(spin: number): StepPlan[] {
    return this.#steps.map(({ handler, options }, index) => ({
      ...options,
      name: this.#names[index]!,
      handler: { url: handler.url, className: handler.name, args: options.args },
      taskClasses: [...this.#taskClasses.keys()].map((taskClass) =>
        nearest(taskClassesOf(handler), taskClass),
      ),
      spin,
    }))
  }

  async #start(timeout: number): Promise<void> {
    this.#enter('starting')
    this.#stopped = this.#lastStats = undefined
    const supervisor = this.#build()
    try {
      await this.#attachments?.listen()
      await supervisor.start(timeout)
      this.#enter('running')
      this.#attachments?.open()
    } catch (error) {
      this.#release()
      this.#enter('stopped')
      throw error
    }
  }

  async #stop(graceful: boolean, timeout: number): Promise<void> {
    const failed = this.#state === 'failed'
    this.#enter('stopping')
    const until = performance.now() + timeout
    if (graceful && !failed) await this.#drained(timeout)
    else this.#client?.failAll()
    await (graceful
      ? this.#supervisor?.stop(Math.max(100, until - performance.now()))
      : this.#supervisor?.kill())
    // Whatever the workers had finished is collected; what they had not is failed.
    this.#client?.failAll()
    this.#release()
    this.#enter('stopped')
  }

  /** Lets go of shared memory: what results still lie in goes with the last of them. */
  #release(): void {
    const memory = this.#memory
    this.#lastStats = this.stats()
    this.#attachments?.close({ type: 'stopped' })
    // A stuck thread goes on using the memory: then it stays, as long as the process does.
    const unmaps = this.#supervisor?.isEmpty === true
    this.#client?.close(() => {
      if (unmaps) memory?.closePayloads()
    })
    if (unmaps) {
      this.#control?.close()
      memory?.close()
    }
    this.#client = this.#control = this.#supervisor = this.#memory = this.#attachments = undefined
  }

  async #drained(timeout: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeout)
    })
    const drained = Promise.all([this.#client?.whenIdle(), this.#attachments?.drain()])
    await Promise.race([drained, late])
    clearTimeout(timer)
  }

  #fail(makeError: () => Error): void {
    this.#enter('failed')
    const error = makeError()
    this.#attachments?.close({ type: 'failed', message: error.message })
    this.#client?.tick() // what the workers have said by now counts
    this.#client?.failAll(makeError)
    void this.#supervisor?.kill()
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
