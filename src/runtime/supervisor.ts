import { InvalidHandlerError, StartError } from '../errors.ts'
import type { Control } from '../transport/control.ts'
import { workerActor } from '../transport/control.ts'
import type {
  HandlerAddress,
  LogRecord,
  WorkerMessage,
  WorkerOrigin,
} from '../transport/protocol.ts'
import { decodeError } from '../transport/reports.ts'
import { StartTogether } from './start-together.ts'
import type { FlowMemory } from './memory-files.ts'
import { spawnProcess } from './process-worker.ts'
import { recoverWorker } from './recovery.ts'
import { spawnThread } from './thread-worker.ts'
import type { SpawnOptions, WorkerExit, WorkerHandle, WorkerPlan } from './worker-handle.ts'

/** What the supervisor needs to know of a step. */
export interface StepPlan extends SpawnOptions {
  readonly name: string
  readonly isolation: 'process' | 'thread'
  readonly nprocs: number
  readonly handler: HandlerAddress
  readonly taskClasses: readonly number[]
  readonly batchSize: number
  readonly batchTimeout: number
  readonly concurrency: number
  readonly spin: number
}

/** The death of a worker, as its tasks' errors tell it. */
export interface Death extends WorkerExit, WorkerOrigin {
  /** What it said it dies of. */
  readonly error: Error | undefined
}

export interface SupervisorEvents {
  onOutput(
    step: string,
    worker: number,
    pid: number,
    stream: 'stdout' | 'stderr',
    text: string,
  ): void
  onDeath(death: Death): void
  onRestart(origin: WorkerOrigin): void
  onLog(origin: WorkerOrigin, record: LogRecord): void
  /** A step cannot be kept alive: its workers die before they are ready, again and again. */
  onFailed(error: Error, death: Death): void
}

/** Milliseconds that the halves of a reload may take. */
export interface ReloadTimes {
  readonly startTimeout: number
  readonly drainTimeout: number
}

/** Restarts in a row that end before the worker is ready, until the supervisor gives the step up. */
const MAX_FAILED_STARTS = 5
/** Milliseconds to wait for workers that were ended by force: a stuck thread never ends. */
const LAST_GRACE = 5_000
const FIRST_BACKOFF = 100
const LONGEST_BACKOFF = 5_000

/**
 * The place of a worker: an actor's number. Each step has twice as many as it has workers, so that the next generation
 * can become ready beside the present one.
 */
interface Seat {
  readonly step: number
  /** Number of the seat among those of its step. */
  readonly worker: number
  /** Whose turn it is: nobody's; a worker's, which is replaced when it dies; a worker's that ends. */
  use: 'spare' | 'working' | 'retiring'
  plan: StepPlan
  /** What the worker is called among those of its step. */
  index: number
  /** While it is being started with others. */
  start: StartTogether<Seat> | undefined
  handle: WorkerHandle | undefined
  ready: boolean
  /** By force, and not by itself. */
  wasEnded: boolean
  failedStarts: number
  restarts: number
  backoff: NodeJS.Timeout | undefined
  /** What the worker says that it dies of. */
  error: Error | undefined
}

/** A worker as reports show it. */
export interface WorkerReport {
  readonly step: string
  readonly index: number
  readonly pid: number
  /** `ending`: finishes its last batch, its successor is at work. */
  readonly state: 'starting' | 'running' | 'ending' | 'dead'
  readonly restarts: number
}

/** Starts the workers of a flow, replaces those that die, and ends them all. */
export class Supervisor {
  readonly #memory: FlowMemory
  readonly #control: Control
  readonly #steps: StepPlan[]
  readonly #payloadThreshold: number
  readonly #conditions: readonly (string | undefined)[]
  readonly #events: SupervisorEvents
  readonly #seats: Seat[]
  readonly #deathCauses: (Error | undefined)[] = []
  #stopping = false
  #closed = false
  /** Called whenever a worker has ended. */
  readonly #onGone = new Set<() => void>()
  readonly #reloads = new Map<number, Promise<void>>()

  constructor(
    memory: FlowMemory,
    control: Control,
    steps: readonly StepPlan[],
    conditions: readonly (string | undefined)[],
    payloadThreshold: number,
    events: SupervisorEvents,
  ) {
    this.#memory = memory
    this.#control = control
    this.#steps = [...steps]
    this.#conditions = conditions
    this.#payloadThreshold = payloadThreshold
    this.#events = events
    this.#seats = this.#steps.flatMap((plan, step) =>
      Array.from({ length: control.shape.steps[step]!.workers }, (_, worker) => ({
        step,
        worker,
        use: 'spare' as const,
        plan,
        index: worker,
        start: undefined,
        handle: undefined,
        ready: false,
        wasEnded: false,
        failedStarts: 0,
        restarts: 0,
        backoff: undefined,
        error: undefined,
      })),
    )
  }

  /** Starts all workers at once and waits until each is ready. After a failure, or past `timeout`, none is left. */
  async start(timeout: number): Promise<void> {
    try {
      const seats = this.#steps.flatMap((plan, step) => this.#take(step, plan))
      await this.#startTogether(seats, timeout)
    } catch (error) {
      await this.kill()
      throw error
    }
  }

  /** Has a start that is still under way fail; nothing otherwise. */
  abandonStart(): void {
    for (const { start } of this.#seats)
      start?.fail(new StartError('the flow was stopped while it was starting'))
  }

  /**
   * Replaces the workers of a step by others with a new plan: those become ready beside the present ones, which then
   * finish their batches and end. When they cannot start, the present ones go on, and this rejects.
   */
  reload(step: number, args: readonly unknown[] | undefined, options: ReloadTimes): Promise<void> {
    const former = this.#reloads.get(step) ?? Promise.resolve()
    const reload = former.catch(() => undefined).then(() => this.#reload(step, args, options))
    this.#reloads.set(step, reload)
    return reload
  }

  /** Asks every worker to finish its batch and end, and ends by force those that have not within `timeout`. */
  async stop(timeout: number): Promise<void> {
    this.#stopping = true
    const kill = (): void => {
      for (const { handle } of this.#seats) handle?.kill()
    }
    for (const { handle, backoff, start } of this.#seats) {
      clearTimeout(backoff)
      start?.fail(new StartError('the flow is stopping'))
      if (timeout > 0) handle?.send({ type: 'stop' })
    }
    if (timeout > 0) await this.#whenGone(this.#seats, timeout)
    kill()
    await this.#whenGone(this.#seats, LAST_GRACE)
    this.#closed = true
  }

  /** Ends every worker at once. */
  kill(): Promise<void> {
    return this.stop(0)
  }

  /** Whether every worker has ended. A thread that is stuck in native code cannot be ended. */
  get isEmpty(): boolean {
    return this.#seats.every(({ handle }) => handle === undefined)
  }

  /** What a worker said that it died of, by the death's number. */
  deathCause(number: number): Error | undefined {
    return this.#deathCauses[number]
  }

  workers(): WorkerReport[] {
    return this.#seats
      .filter(({ use }) => use !== 'spare')
      .map(({ use, plan, index, handle, ready, restarts }) => ({
        step: plan.name,
        index,
        pid: handle?.pid ?? -1,
        state:
          handle === undefined
            ? 'dead'
            : use === 'retiring'
              ? 'ending'
              : ready
                ? 'running'
                : 'starting',
        restarts,
      }))
  }

  async #reload(
    step: number,
    args: readonly unknown[] | undefined,
    { startTimeout, drainTimeout }: ReloadTimes,
  ): Promise<void> {
    const present = this.#seats.filter((seat) => seat.step === step && seat.use === 'working')
    const plan = this.#steps[step]!
    const handler = { ...plan.handler, args: args ?? plan.handler.args }
    const next = this.#take(step, { ...plan, handler })
    try {
      await this.#startTogether(next, startTimeout)
    } catch (error) {
      await this.#retire(next, drainTimeout)
      throw error
    }
    this.#steps[step] = { ...plan, handler }
    await this.#retire(present, drainTimeout)
  }

  /** Spare seats for all workers of a step. */
  #take(step: number, plan: StepPlan): Seat[] {
    const spare = this.#seats.filter((seat) => seat.step === step && seat.use === 'spare')
    if (this.#stopping || spare.length < plan.nprocs) {
      throw new StartError(
        this.#stopping
          ? 'the flow is stopping'
          : `step ${plan.name} has no place for new workers: former ones are stuck and cannot be ended`,
      )
    }
    return spare
      .slice(0, plan.nprocs)
      .map((seat, index) =>
        Object.assign(seat, { use: 'working', plan, index, restarts: 0, failedStarts: 0 }),
      )
  }

  async #startTogether(seats: readonly Seat[], timeout: number): Promise<void> {
    const start = new StartTogether(seats, timeout, ({ plan }) => plan.name)
    for (const seat of seats) {
      seat.start = start
      this.#spawn(seat)
    }
    try {
      await start.done
    } finally {
      for (const seat of seats) seat.start = undefined
    }
  }

  /** Lets workers finish their batches and end; those that have not within `timeout` are ended by force. */
  async #retire(seats: readonly Seat[], timeout: number): Promise<void> {
    for (const seat of seats) {
      clearTimeout(seat.backoff)
      seat.use = seat.handle === undefined ? 'spare' : 'retiring'
      if (seat.ready) seat.handle?.send({ type: 'stop' })
      else this.#end(seat)
    }
    await this.#whenGone(seats, timeout)
    for (const seat of seats) this.#end(seat)
    await this.#whenGone(seats, LAST_GRACE)
  }

  #end(seat: Seat): void {
    seat.wasEnded = true
    seat.handle?.kill()
  }

  /** Resolves once the workers of these seats have ended, or after `timeout`. */
  async #whenGone(seats: readonly Seat[], timeout: number): Promise<void> {
    const areGone = (): boolean => seats.every(({ handle }) => handle === undefined)
    if (areGone()) return
    let look: (() => void) | undefined
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      look = () => {
        if (areGone()) resolve()
      }
      this.#onGone.add(look)
      timer = setTimeout(resolve, timeout)
    })
    clearTimeout(timer)
    if (look !== undefined) this.#onGone.delete(look)
  }

  #spawn(seat: Seat): void {
    const { plan } = seat
    const workerPlan: WorkerPlan = {
      shape: this.#control.shape,
      actor: workerActor(this.#control.shape, seat.step, seat.worker),
      step: seat.step,
      worker: seat.worker,
      index: seat.index,
      stepName: plan.name,
      handler: plan.handler,
      taskClasses: plan.taskClasses,
      conditions: this.#conditions,
      batchSize: plan.batchSize,
      batchTimeout: plan.batchTimeout,
      concurrency: plan.concurrency,
      payloadThreshold: this.#payloadThreshold,
      spin: plan.spin,
    }
    const spawn = plan.isolation === 'process' ? spawnProcess : spawnThread
    seat.ready = seat.wasEnded = false
    seat.error = undefined
    const handle = spawn(workerPlan, this.#memory, plan, {
      onMessage: (message) => this.#onMessage(seat, handle, message),
      onOutput: (stream, text) =>
        this.#events.onOutput(plan.name, seat.index, handle.pid, stream, text),
      onExit: (exit) => this.#onExit(seat, handle, exit),
    })
    seat.handle = handle
  }

  #originOf({ plan, index }: Seat, { pid }: WorkerHandle): WorkerOrigin {
    return { step: plan.name, handler: plan.handler.className, worker: index, pid }
  }

  #onMessage(seat: Seat, handle: WorkerHandle, message: WorkerMessage): void {
    switch (message.type) {
      case 'ready':
        seat.ready = true
        seat.failedStarts = 0
        if (seat.restarts > 0) this.#events.onRestart(this.#originOf(seat, handle))
        seat.start?.ready(seat)
        return
      case 'log':
        this.#events.onLog(this.#originOf(seat, handle), message)
        return
      case 'fatal':
        seat.error ??= decodeError(message.report)
        return
      case 'failed':
        this.#onStartFailed(seat, message)
        return
      default:
      // A handler's own message, which means nothing here.
    }
  }

  #onStartFailed(seat: Seat, message: WorkerMessage & { readonly type: 'failed' }): void {
    const { name, handler } = seat.plan
    const cause = decodeError(message.report)
    const error =
      message.failure === 'handler'
        ? new InvalidHandlerError(handler.className, cause.message, { cause })
        : message.failure === 'flow-in-worker'
          ? new StartError(
              `the module of ${handler.className} (${handler.url}) starts a flow when a worker imports it; put the handler in a module of its own, or guard the start with isFlowWorker()`,
              { cause, code: 'AQ_FLOW_IN_WORKER' },
            )
          : new StartError(`step ${name} could not start: ${cause.message}`, { cause })
    if (seat.start !== undefined) return seat.start.fail(error)
    seat.error = error
    seat.handle?.kill()
  }

  #onExit(seat: Seat, handle: WorkerHandle, exit: WorkerExit): void {
    if (this.#closed) return
    const wasReady = seat.ready
    seat.handle = undefined
    seat.ready = false
    const death: Death = { ...this.#originOf(seat, handle), ...exit, error: seat.error }
    const number = this.#control.deaths.add({ ...exit, step: seat.step, pid: handle.pid })
    this.#deathCauses[number] = seat.error
    recoverWorker(this.#control, seat.step, seat.worker, number)
    const wasRetiring = seat.use === 'retiring'
    if (wasRetiring) seat.use = 'spare'
    for (const look of this.#onGone) look()
    if (this.#stopping) return
    if (seat.start !== undefined) {
      const how = exit.signal ?? `exit code ${exit.code}`
      const what = `a worker of step ${seat.plan.name} ended with ${how} before it was ready`
      seat.start.fail(new StartError(what, { cause: seat.error }))
      return
    }
    if (wasRetiring && (exit.code === 0 || seat.wasEnded)) return
    this.#events.onDeath(death)
    // The flow may have been stopped on account of it.
    if (!this.#stopping && !wasRetiring) this.#restart(seat, wasReady, death)
  }

  #restart(seat: Seat, wasReady: boolean, death: Death): void {
    seat.restarts++
    if (!wasReady && ++seat.failedStarts >= MAX_FAILED_STARTS) {
      const { name } = seat.plan
      this.#events.onFailed(
        new StartError(
          `step ${name} cannot be kept alive: ${seat.failedStarts} restarts in a row ended before the worker was ready`,
          { cause: death.error },
        ),
        death,
      )
      return
    }
    const delay =
      seat.failedStarts === 0
        ? 0
        : Math.min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (seat.failedStarts - 1))
    seat.backoff = setTimeout(() => this.#spawn(seat), delay)
  }
}
