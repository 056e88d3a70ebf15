import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { AttachFailure, Attachment } from './client/attachment.ts'
import { Client } from './client/client.ts'
import { flowDefaults } from './defaults.ts'
import { Diagnostics } from './diagnostics.ts'
import {
  FlowStoppedError,
  InvalidOptionError,
  InvalidTaskError,
  StartError,
  toError,
} from './errors.ts'
import { type FlowHealth, readFlowHealth } from './flow-health.ts'
import { FlowLog } from './flow-log.ts'
import {
  type FlowEvents,
  type FlowLogger,
  type FlowState,
  type ProcessOptions,
  type StartOptions,
  type StopOptions,
  addressRule,
  loggerRule,
  startRules,
  stopRules,
  warnings,
} from './flow-options.ts'
import { checkOptions, classes } from './options.ts'
import { checkPlatform } from './platform.ts'
import { NO_OPTIONS, NumberedClasses, type TaskClasses, processTask } from './process-task.ts'
import { addRunningFlow, removeRunningFlow } from './running-flows.ts'
import { NO_TASKS, type TaskCounts, sumOfCounts } from './task-counts.ts'
import { BaseTask, type TaskClassOf } from './task.ts'
import { warnOfPrivateState } from './task-classes.ts'
import type { Welcome } from './transport/handshake.ts'

/** Options of a {@link FlowClient}. */
export interface FlowClientOptions<Task extends BaseTask> {
  /** The `address` of the flow. */
  readonly address: string
  /**
   * The class of the tasks that this client will have processed, or several:
   * `new FlowClient<A | B>({ address, task: [A, B] })`.
   */
  readonly task: TaskClassOf<Task> | readonly TaskClassOf<Task>[]
  /** Where the client tells that it has lost its flow, or found it again. Default: warnings on standard error. */
  readonly logger?: FlowLogger
}

const rules = { address: addressRule, task: classes, logger: loggerRule }

const FIRST_PAUSE = 50
const LONGEST_PAUSE = 2_000

/**
 * A client of a flow that runs in another process of the same user: `process()` as in {@link Flow}, straight into the
 * flow's shared memory. Web processes come and go, the models stay. When the flow ends, what is pending fails with
 * `FlowStoppedError`, and the client attaches again as soon as there is a flow at its address.
 *
 * @example
 * ```ts
 * import { Flow, FlowClient, FlowStep } from 'aqueduct-ts'
 * import { SumHandler, SumTask } from './sum.ts'
 *
 * // One process runs the flow …
 * await using flow = new Flow([new FlowStep(SumHandler)], { address: 'sums' })
 * await flow.start()
 *
 * // … any others (here the same) have their tasks processed by it.
 * await using client = new FlowClient({ address: 'sums', task: SumTask })
 * await client.start({ timeout: 10_000 })
 * const { sum } = await client.process(new SumTask(10))
 * console.log(sum) // 11
 * ```
 */
export class FlowClient<Task extends BaseTask>
  extends EventEmitter<FlowEvents>
  implements AsyncDisposable
{
  readonly #address: string
  readonly #known: readonly TaskClassOf<Task>[]
  readonly #log: FlowLog
  readonly #diagnostics = new Diagnostics(this)
  #state: FlowState = 'created'
  #attachment: Attachment | undefined
  #client: Client | undefined
  #taskClasses: TaskClasses = new NumberedClasses()
  /** The books of former attachments. */
  #past: TaskCounts = NO_TASKS
  /** Aborted to give up attaching. */
  #attaching: AbortController | undefined
  #starting: Promise<void> | undefined
  #stopped: Promise<void> | undefined

  /** @throws InvalidOptionError */
  constructor(options: FlowClientOptions<Task>) {
    super()
    checkPlatform()
    checkOptions('the client', options, rules)
    for (const name of ['address', 'task'] as const) {
      if (options[name] === undefined)
        throw new InvalidOptionError(name, `the client needs '${name}': ${rules[name].expects}`)
    }
    this.#address = options.address
    // A function is a class of tasks, an array holds several: the rule has seen to that.
    this.#known = typeof options.task === 'function' ? [options.task] : options.task
    this.#known.forEach(warnOfPrivateState)
    this.#log = new FlowLog(options.logger ?? warnings)
  }

  /** `starting` also while the client looks for a flow that it has lost. */
  get state(): FlowState {
    return this.#state
  }

  get isRunning(): boolean {
    return this.#state === 'running'
  }

  /**
   * Attaches to the flow, waiting for one that is not there yet, or is still starting.
   *
   * @throws StartError, InvalidTaskError
   */
  async start(options: StartOptions = {}): Promise<void> {
    checkOptions('start()', options, startRules)
    if (this.#state !== 'created' && this.#state !== 'stopped')
      throw new StartError(
        `the client is ${this.#state}: it can be started when it is new or stopped`,
      )
    this.#stopped = undefined
    this.#enter('starting')
    this.#starting = this.#attach(options.timeout ?? flowDefaults.startTimeout)
    try {
      await this.#starting
    } catch (error) {
      if (!this.#isStopping) this.#enter('stopped')
      throw error
    }
  }

  /**
   * Has a task handled and resolves with the same task, filled in.
   *
   * @throws TaskTimeoutError, TaskCancelledError, HandlerError, WorkerDiedError, PoisonedTaskError, HandlerTimeoutError,
   *   QueueFullError, NotRunningError, CodecError, PayloadTooLargeError, OutOfMemoryError, InvalidTaskError,
   *   FlowStoppedError, StartError
   */
  process<T extends Task>(task: T, options: ProcessOptions = NO_OPTIONS): Promise<T> {
    return processTask(this, this.#client, this.#state, this.#taskClasses, task, options)
  }

  /**
   * Lets go of the flow, which goes on. Graceful (the default): no new tasks, what is pending is finished first, as long
   * as that takes less than `timeout`; what is left fails with `FlowStoppedError`.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    checkOptions('stop()', options, stopRules)
    if (this.#state === 'created') this.#enter('stopped')
    if (this.#state === 'stopped') return this.#stopped
    this.#stopped ??= this.#stop(
      options.graceful ?? true,
      options.timeout ?? flowDefaults.stopTimeout,
    )
    return this.#stopped
  }

  /** Whether the flow that it is attached to can do work; see {@link Flow.health}. */
  health(): FlowHealth {
    const { control, welcome } = this.#attachment ?? {}
    return readFlowHealth(control, this.#state, welcome?.stepNames ?? [])
  }

  /** The books of this client: admitted = completed + failed + timedOut + cancelled + pending. */
  stats(): { readonly tasks: TaskCounts } {
    const now = this.#client?.tally()
    return { tasks: now === undefined ? this.#past : sumOfCounts(this.#past, now) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  get #isStopping(): boolean {
    return this.#state === 'stopping'
  }

  #enter(state: FlowState): void {
    const previous = this.#state
    if (state === previous) return
    this.#state = state
    if (state !== 'running') removeRunningFlow(this)
    else if (this.#client) addRunningFlow(this, this.#taskClasses, this.#client.uploads)
    this.emit('state', state)
    this.#diagnostics.state(state, previous)
  }

  async #stop(graceful: boolean, timeout: number): Promise<void> {
    this.#enter('stopping')
    this.#attaching?.abort()
    await Promise.allSettled([this.#starting])
    if (graceful && this.#client !== undefined) {
      const late = new AbortController()
      const timer = delay(timeout, undefined, { signal: late.signal }).catch(() => undefined)
      await Promise.race([this.#client.whenIdle(), timer])
      late.abort()
    }
    this.#letGo()
    this.#enter('stopped')
  }

  /** Tries until there is a flow to attach to. */
  async #attach(timeout: number): Promise<void> {
    const attaching = (this.#attaching = new AbortController())
    const timer = timeout === Infinity ? undefined : setTimeout(() => attaching.abort(), timeout)
    const { signal } = attaching
    let last = 'no flow listens there'
    try {
      for (let pause = FIRST_PAUSE; !signal.aborted; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
        try {
          await this.#tryAttach(signal)
          return
        } catch (error) {
          if (!(error instanceof AttachFailure) || error.isFinal) throw this.#cannot(error)
          if (!signal.aborted) last = error.message
        }
        await delay(pause, undefined, { signal }).catch(() => undefined)
      }
      throw this.#isStopping
        ? new StartError('the client was stopped while it was attaching')
        : new StartError(
            `could not attach to the flow at '${this.#address}' within ${timeout} ms: ${last}`,
            { code: 'AQ_START_TIMEOUT' },
          )
    } finally {
      clearTimeout(timer)
    }
  }

  async #tryAttach(signal: AbortSignal): Promise<void> {
    const attachment = await Attachment.open(this.#address, signal, {
      onStopping: (of) => this.#onFlowStopping(of),
      onSuspended: (of, why) => this.#onFlowSuspended(of, why),
      onResumed: (of) => this.#onFlowResumed(of),
      onAskBusy: (of) => this.#onAskBusy(of),
      onEnded: (of, why) => this.#onFlowEnded(of, why),
    })
    const { control, welcome } = attachment
    try {
      // It may have said so together with its welcome.
      if (attachment.isStopping) throw new AttachFailure('it is stopping', false)
      if (attachment.isSuspended) throw new AttachFailure('it has failed for now', false)
      this.#taskClasses = numbersOf(this.#known, welcome)
    } catch (error) {
      attachment.close()
      throw error
    }
    this.#attachment = attachment
    this.#client = new Client(control, {
      maxPending: welcome.shape.slotsPerClient,
      payloadThreshold: welcome.payloadThreshold,
      spin: welcome.spin,
      bell: attachment.takeBell(),
      conditions: welcome.conditions,
      stepNames: welcome.stepNames,
      diagnostics: this.#diagnostics,
      onSettled: (task, finished, timings) =>
        BaseTask.end(task as BaseTask, finished, timings, welcome.stepNames),
    })
    this.#enter('running')
  }

  #onFlowStopping(attachment: Attachment): void {
    if (attachment !== this.#attachment || this.#state !== 'running') return
    this.#enter('starting')
    void this.#client?.whenIdle().then(() => attachment.sayIdle())
  }

  /** The flow has failed, and goes on starting workers: what is pending fails, what the program holds stays. */
  #onFlowSuspended(attachment: Attachment, why: string): void {
    if (attachment !== this.#attachment) return
    this.#client?.tick()
    this.#client?.failAll(() => new FlowStoppedError({ cause: new StartError(why) }))
    if (this.#state !== 'running') return
    this.#log.flowLost(this.#address, `it has failed for now: ${why}`)
    this.#enter('starting')
  }

  #onFlowResumed(attachment: Attachment): void {
    if (attachment !== this.#attachment || this.#state !== 'starting') return
    this.#enter('running')
    this.#log.flowFound(this.#address)
  }

  #onAskBusy(attachment: Attachment): void {
    if (attachment === this.#attachment) this.#client?.whenBusy(() => attachment.sayBusy())
  }

  #onFlowEnded(attachment: Attachment, why: string): void {
    if (attachment !== this.#attachment) return // it was let go
    this.#client?.tick() // what the workers had finished is collected
    this.#letGo()
    if (this.#isStopping) return
    this.#log.flowLost(this.#address, why)
    this.#enter('starting')
    this.#starting = this.#attach(Infinity).then(
      () => this.#log.flowFound(this.#address),
      (error: unknown) => {
        if (this.#isStopping) return
        this.#log.flowRefused(this.#address, toError(error))
        this.#enter('failed')
      },
    )
  }

  /** Settles what is pending and closes the memory once the program holds nothing in it. */
  #letGo(): void {
    const client = this.#client
    const attachment = this.#attachment
    this.#client = this.#attachment = undefined
    if (client === undefined) return
    client.failAll()
    this.#past = sumOfCounts(this.#past, client.tally())
    attachment?.sayIdle()
    attachment?.unref() // until the last result is released, but for no other reason
    client.close(() => attachment?.close())
  }

  #cannot(error: unknown): Error {
    if (!(error instanceof AttachFailure)) return error as Error // of numbersOf, typed
    return new StartError(`cannot attach to the flow at '${this.#address}': ${error.message}`, {
      cause: error,
    })
  }
}

/** The flow knows its classes of tasks by number, a client by name: they are different objects in two processes. */
function numbersOf<Task extends BaseTask>(
  known: readonly TaskClassOf<Task>[],
  { taskClasses, conditions, stepNames }: Welcome,
): TaskClasses {
  const numbers = new NumberedClasses()
  for (const taskClass of known) {
    const number = taskClasses.indexOf(taskClass.name)
    if (number < 0) {
      throw new InvalidTaskError(
        `the flow handles tasks of ${taskClasses.join(', ')}, not ${taskClass.name}`,
      )
    }
    if (taskClasses.lastIndexOf(taskClass.name) !== number) {
      throw new InvalidTaskError(
        `the flow handles several classes named ${taskClass.name}; a client in another process knows them by their names`,
      )
    }
    numbers.set(taskClass, number)
    // Until the first step that takes every task, the client itself asks whether a step wants it.
    for (let step = 0; step < conditions.length; step++) {
      const condition = conditions[step]
      if (condition === undefined) break
      const { prototype } = taskClass as { readonly prototype: unknown }
      if (typeof (prototype as Record<string, unknown>)[condition] === 'function') continue
      throw new InvalidTaskError(
        `${taskClass.name} has no method '${condition}', with which the flow asks whether step ${stepNames[step]} wants a task`,
      )
    }
  }
  return numbers
}
