import { InvalidHandlerError, StartError } from '../errors.ts'
import { type FlowShape, workerActor } from '../transport/control.ts'
import type {
  HandlerAddress,
  LogRecord,
  WorkerMessage,
  WorkerOrigin,
} from '../transport/protocol.ts'
import { decodeError } from '../transport/reports.ts'
import type { FlowMemory } from './memory-files.ts'
import { spawnProcess } from './process-worker.ts'
import type { StartTogether } from './start-together.ts'
import { spawnThread } from './thread-worker.ts'
import type { SpawnOptions, WorkerExit, WorkerHandle, WorkerPlan } from './worker-handle.ts'

/** What a worker of a step is to be. */
export interface StepPlan extends SpawnOptions {
  readonly name: string
  readonly isolation: 'process' | 'thread'
  readonly nprocs: number
  readonly handler: HandlerAddress
  readonly taskClasses: readonly number[]
  readonly batchSize: number
  readonly batchTimeout: number
  readonly concurrency: number
  /** Milliseconds that `handle` may take. */
  readonly handleTimeout: number
  /** Bytes of its own beyond which a worker is replaced. */
  readonly maxMemory: number
  /** Milliseconds that it may take until the worker counts as stuck. */
  readonly patience: number
  /** How often a task may be run again after the death of its worker. */
  readonly retries: number
  readonly spin: number
}

/** What all workers of a flow share. */
export interface SharedPlan {
  readonly memory: FlowMemory
  readonly shape: FlowShape
  readonly conditions: readonly (string | undefined)[]
  readonly payloadThreshold: number
}

/** The end of a worker. */
export interface Death extends WorkerExit, WorkerOrigin {
  /** The handler's limit in milliseconds, when the worker was ended for passing it; Infinity otherwise. */
  readonly handleTimeout: number
  /** What it said that it dies of. */
  readonly error: Error | undefined
}

export interface SeatEvents {
  onOutput(origin: WorkerOrigin, stream: 'stdout' | 'stderr', text: string): void
  onLog(origin: WorkerOrigin, record: LogRecord): void
  /** The worker has finished its start. */
  onReady(seat: Seat): void
  /** The worker has more memory of its own than its step's `maxMemory`. */
  onOutgrown(seat: Seat, origin: WorkerOrigin, bytes: number): void
  /** A worker that has replaced another one is ready. */
  onRestart(origin: WorkerOrigin): void
  /** The worker has ended; `wasReady` says whether it had finished its start. */
  onExit(seat: Seat, death: Omit<Death, 'handleTimeout'>, wasReady: boolean): void
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

const FIRST_BACKOFF = 100
const LONGEST_BACKOFF = 5_000

/**
 * The place of a worker: an actor's number, and the process or thread that has it now. Each step has twice as many as it
 * has workers, so that the next generation can become ready beside the present one.
 */
export class Seat {
  readonly step: number
  /** Number of the seat among those of its step. */
  readonly number: number
  /** Whose it is: nobody's; a worker's, which is replaced when it dies; a worker's that ends. */
  use: 'spare' | 'working' | 'retiring' = 'spare'
  /** While its worker is being started with others. */
  start: StartTogether<Seat> | undefined
  readonly actor: number
  /** Since when its handler had been busy when the worker was ended for that; undefined otherwise. */
  hungSince: number | undefined
  readonly #shared: SharedPlan
  readonly #events: SeatEvents
  #plan: StepPlan
  #index = 0
  #handle: WorkerHandle | undefined
  #isReady = false
  #wasEnded = false
  #failedStarts = 0
  #restarts = 0
  #backoff: NodeJS.Timeout | undefined
  /** What the worker says that it dies of. */
  #error: Error | undefined

  constructor(
    step: number,
    number: number,
    plan: StepPlan,
    shared: SharedPlan,
    events: SeatEvents,
  ) {
    this.step = step
    this.number = number
    this.actor = workerActor(shared.shape, step, number)
    this.#plan = plan
    this.#shared = shared
    this.#events = events
  }

  get plan(): StepPlan {
    return this.#plan
  }

  /** What the worker is called among those of its step. */
  get index(): number {
    return this.#index
  }

  get isEmpty(): boolean {
    return this.#handle === undefined
  }

  /** Whether its worker has finished its start. */
  get isReady(): boolean {
    return this.#isReady
  }

  /** Whether the worker that was here last was ended by force. */
  get wasEnded(): boolean {
    return this.#wasEnded
  }

  /** Starts in a row that ended before the worker was ready. */
  get failedStarts(): number {
    return this.#failedStarts
  }

  /** Milliseconds that the handler may take. */
  get handleTimeout(): number {
    return this.#plan.handleTimeout
  }

  report(): WorkerReport {
    const occupied = this.use === 'retiring' ? 'ending' : this.#isReady ? 'running' : 'starting'
    return {
      step: this.#plan.name,
      index: this.#index,
      pid: this.#handle?.pid ?? -1,
      state: this.isEmpty ? 'dead' : occupied,
      restarts: this.#restarts,
    }
  }

  /** Makes it the place of a worker that is to be. */
  take(plan: StepPlan, index: number): void {
    this.use = 'working'
    this.#plan = plan
    this.#index = index
    this.#failedStarts = this.#restarts = 0
  }

  spawn(): void {
    const plan = this.#plan
    const { shape, conditions, payloadThreshold, memory } = this.#shared
    const workerPlan: WorkerPlan = {
      shape,
      actor: this.actor,
      step: this.step,
      worker: this.number,
      index: this.#index,
      stepName: plan.name,
      handler: plan.handler,
      taskClasses: plan.taskClasses,
      conditions,
      batchSize: plan.batchSize,
      batchTimeout: plan.batchTimeout,
      concurrency: plan.concurrency,
      handleTimeout: plan.handleTimeout,
      maxMemory: plan.maxMemory,
      payloadThreshold,
      spin: plan.spin,
    }
    this.#isReady = this.#wasEnded = false
    this.hungSince = undefined
    this.#error = undefined
    const spawn = plan.isolation === 'process' ? spawnProcess : spawnThread
    const handle = spawn(workerPlan, memory, plan, {
      onMessage: (message) => this.#onMessage(handle, message),
      onOutput: (stream, text) => this.#events.onOutput(this.#originOf(handle), stream, text),
      onExit: (exit) => this.#onExit(handle, exit),
    })
    this.#handle = handle
  }

  /** Starts another worker in the place of one that has died, after a pause that grows while they die at once. */
  restart(wasReady: boolean): void {
    this.#restarts++
    if (!wasReady) this.#failedStarts++
    const delay =
      this.#failedStarts === 0
        ? 0
        : Math.min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (this.#failedStarts - 1))
    this.#backoff = setTimeout(() => this.spawn(), delay)
  }

  /** No other worker comes in the place of one that has died. */
  cancelRestart(): void {
    clearTimeout(this.#backoff)
  }

  /** Asks the worker to finish its batch and end. One that is not ready has nothing to finish. */
  finish(): void {
    if (this.#isReady) this.#handle?.send({ type: 'stop' })
    else this.end()
  }

  /** Ends the worker by force. */
  end(): void {
    if (this.#handle === undefined) return
    this.#wasEnded = true
    this.#handle.kill()
  }

  #originOf({ pid }: WorkerHandle): WorkerOrigin {
    const { name, handler } = this.#plan
    return { step: name, handler: handler.className, worker: this.#index, pid }
  }

  #onMessage(handle: WorkerHandle, message: WorkerMessage): void {
    switch (message.type) {
      case 'ready':
        this.#isReady = true
        this.#failedStarts = 0
        if (this.#restarts > 0) this.#events.onRestart(this.#originOf(handle))
        this.#events.onReady(this)
        this.start?.ready(this)
        return
      case 'log':
        this.#events.onLog(this.#originOf(handle), message)
        return
      case 'outgrown':
        this.#events.onOutgrown(this, this.#originOf(handle), message.bytes)
        return
      case 'fatal':
        this.#error ??= decodeError(message.report)
        return
      case 'failed':
        this.#onStartFailed(message)
        return
      default:
      // A handler's own message, which means nothing here.
    }
  }

  #onStartFailed(message: WorkerMessage & { readonly type: 'failed' }): void {
    const { name, handler } = this.#plan
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
    if (this.start !== undefined) {
      this.start.fail(error)
      return
    }
    this.#error = error
    this.#handle?.kill()
  }

  #onExit(handle: WorkerHandle, exit: WorkerExit): void {
    const wasReady = this.#isReady
    this.#handle = undefined
    this.#isReady = false
    const death = { ...this.#originOf(handle), ...exit, error: this.#error }
    this.#events.onExit(this, death, wasReady)
  }
}
