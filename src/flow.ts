import { EventEmitter } from 'node:events'
import { Client } from './client/client.ts'
import { flowDefaults } from './defaults.ts'
import {
  InvalidOptionError,
  InvalidTaskError,
  NotRunningError,
  StartError,
  toError,
} from './errors.ts'
import type { HandlerClass, HandlerConstructor } from './handler.ts'
import { libc } from './memory/libc.ts'
import {
  type FlowEvents,
  type FlowOptions,
  type FlowState,
  type ProcessOptions,
  type StartOptions,
  type StopOptions,
  processRules,
  resolveOptions,
  startRules,
  stopRules,
} from './flow-options.ts'
import { checkOptions } from './options.ts'
import { checkPlatform } from './platform.ts'
import { FlowMemory } from './runtime/memory-files.ts'
import { OutputLabeller } from './runtime/output.ts'
import { type StepPlan, Supervisor } from './runtime/supervisor.ts'
import { addRunningFlow, removeRunningFlow } from './running-flows.ts'
import { type FlowStats, readStepStats } from './stats.ts'
import { FlowStep, taskClassesOf } from './step.ts'
import { BaseTask } from './task.ts'
import { checkConditions, nearest, warnOfPrivateState } from './task-classes.ts'
import { monotonic } from './transport/clock.ts'
import type { Control, FlowShape } from './transport/control.ts'
import { isFlowWorker, reportFlowStart } from './worker/flow-worker.ts'

/** The client that lives in the process that started the flow. */
const PARENT_CLIENT = 0
const NO_OPTIONS: ProcessOptions = Object.freeze({})

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
  readonly #options: Required<FlowOptions>
  readonly #taskClasses = new Map<unknown, number>()
  readonly #output = new OutputLabeller()
  #state: FlowState = 'created'
  #control: Control | undefined
  #client: Client | undefined
  #supervisor: Supervisor | undefined
  #memory: FlowMemory | undefined
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
    const client = this.#client
    if (this.#state !== 'running' || client === undefined)
      return Promise.reject(new NotRunningError(this.#state))
    if (options !== NO_OPTIONS) {
      try {
        checkOptions('process()', options, processRules)
      } catch (error) {
        return Promise.reject(toError(error))
      }
    }
    const taskClass = this.#taskClasses.get(task?.constructor)
    if (taskClass === undefined) return Promise.reject(this.#unknownTask(task))
    if (!BaseTask.begin(task)) {
      return Promise.reject(
        new InvalidTaskError(
          'this task is being processed already, or a body is still arriving in it (await its shareFrom()); make one task object per call',
          'AQ_TASK_IN_FLIGHT',
        ),
      )
    }
    return client.submit(task, taskClass, {
      timeout: options.timeout ?? flowDefaults.processTimeout,
      priority: Math.min(options.priority ?? 0, this.#options.queuePriorities - 1),
      signal: options.signal,
    }) as Promise<T>
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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /** The flow in figures, read from shared memory; those of its end once it has stopped. */
  stats(): FlowStats {
    if (this.#lastStats !== undefined) return this.#lastStats
    const tasks = this.#client?.tally() ?? {
      admitted: 0,
      completed: 0,
      failed: 0,
      timedOut: 0,
      cancelled: 0,
      pending: 0,
      rejected: 0,
    }
    const blocks = this.#control?.blocks
    return {
      tasks,
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
    if (state !== 'running') removeRunningFlow(this)
    else if (this.#client) addRunningFlow(this, this.#taskClasses, this.#client.uploads)
    this.emit('state', state)
  }

  #build(): Supervisor {
    const { memory, maxPending, queuePriorities, payloadThreshold, spin, logger } = this.#options
    const shape: FlowShape = {
      clients: 1,
      slotsPerClient: maxPending,
      priorities: queuePriorities,
      inlineBytes: flowDefaults.inlineBytes,
      memory,
      steps: this.#steps.map(({ options: { nprocs, queueSize } }) => ({
        workers: nprocs,
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
        onDeath: ({ step, pid, code, signal: by }) =>
          logger.warn(
            { step, pid, code, signal: by },
            `worker ${pid} of step ${step} ended with ${by ?? `exit code ${code}`}; it is being replaced`,
          ),
        onRestart: (step, worker, pid) =>
          logger.info({ step, worker, pid }, `worker ${pid} of step ${step} has taken over`),
        onFailed: (error) => {
          logger.error({ err: error }, error.message)
          this.#fail(error)
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
      death: (number) => supervisor.death(number),
      onSettled: (task, finished) => BaseTask.end(task as BaseTask, finished, names),
    })
    return supervisor
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
      await supervisor.start(timeout)
      this.#enter('running')
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
    // A stuck thread goes on using the memory: then it stays, as long as the process does.
    const unmaps = this.#supervisor?.isEmpty === true
    this.#client?.close(() => {
      if (unmaps) memory?.closePayloads()
    })
    if (unmaps) {
      this.#control?.close()
      memory?.close()
    }
    this.#client = this.#control = this.#supervisor = this.#memory = undefined
  }

  async #drained(timeout: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeout)
    })
    await Promise.race([this.#client?.whenIdle(), late])
    clearTimeout(timer)
  }

  #fail(error: Error): void {
    this.#enter('failed')
    this.#client?.failAll(() => new StartError(error.message, { cause: error }))
    void this.#supervisor?.kill()
  }

  #unknownTask(task: unknown): InvalidTaskError {
    const given =
      typeof task === 'object' && task !== null
        ? `a ${task.constructor?.name ?? 'object'}`
        : String(task)
    const known = [...this.#taskClasses.keys()]
      .map((taskClass) => (taskClass as { name: string }).name)
      .join(', ')
    return new InvalidTaskError(
      `the flow handles tasks of ${known}, not ${given}; a handler names every class of its tasks in its \`task\``,
    )
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
