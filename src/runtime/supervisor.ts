import { InvalidHandlerError, StartError } from '../errors.ts'
import type { Control } from '../transport/control.ts'
import { workerActor } from '../transport/control.ts'
import { type HandlerAddress, type WorkerMessage, fromErrorRecord } from '../transport/protocol.ts'
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
export interface Death extends WorkerExit {
  readonly step: string
  readonly pid: number
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
  onRestart(step: string, worker: number, pid: number): void
  /** A step cannot be kept alive: its workers die before they are ready, again and again. */
  onFailed(error: Error): void
}

/** Restarts in a row that end before the worker is ready, until the supervisor gives the step up. */
const MAX_FAILED_STARTS = 5
/** Deaths remembered for the errors of their tasks; older ones make place. */
const MAX_DEATHS = 1024
/** Milliseconds to wait for workers that were ended by force: a stuck thread never ends. */
const LAST_GRACE = 5_000
const FIRST_BACKOFF = 100
const LONGEST_BACKOFF = 5_000

interface Seat {
  readonly step: number
  readonly worker: number
  handle: WorkerHandle | undefined
  ready: boolean
  failedStarts: number
  restarts: number
  backoff: NodeJS.Timeout | undefined
}

/** A worker as reports show it. */
export interface WorkerReport {
  readonly step: string
  readonly index: number
  readonly pid: number
  readonly state: 'starting' | 'running' | 'dead'
  readonly restarts: number
}

/** Starts the workers of a flow, replaces those that die, and ends them all. */
export class Supervisor {
  readonly #memory: FlowMemory
  readonly #control: Control
  readonly #steps: readonly StepPlan[]
  readonly #payloadThreshold: number
  readonly #conditions: readonly (string | undefined)[]
  readonly #events: SupervisorEvents
  readonly #seats: Seat[]
  readonly #deaths: Death[] = []
  #deathCount = 0
  #lost = 0
  #stopping = false
  #closed = false
  #onSettled: ((seat: Seat, error: Error | undefined) => void) | undefined
  readonly #waitingForEmpty = new Set<() => void>()

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
    this.#steps = steps
    this.#conditions = conditions
    this.#payloadThreshold = payloadThreshold
    this.#events = events
    this.#seats = steps.flatMap(({ nprocs }, step) =>
      Array.from({ length: nprocs }, (_, worker) => ({
        step,
        worker,
        handle: undefined,
        ready: false,
        failedStarts: 0,
        restarts: 0,
        backoff: undefined,
      })),
    )
  }

  /** Starts all workers at once and waits until each is ready. After a failure, or past `timeout`, none is left. */
  async start(timeout: number): Promise<void> {
    const waiting = new Set(this.#seats)
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        this.#onSettled = (seat, error) => {
          if (error !== undefined) reject(error)
          waiting.delete(seat)
          if (waiting.size === 0) resolve()
        }
        timer = setTimeout(() => {
          const late = [...new Set([...waiting].map(({ step }) => this.#steps[step]!.name))]
          reject(
            new StartError(
              `not ready within ${timeout} ms: ${late.join(', ')} (an onStart that takes longer needs a larger \`start({ timeout })\`)`,
              { code: 'AQ_START_TIMEOUT' },
            ),
          )
        }, timeout)
        for (const seat of this.#seats) this.#spawn(seat)
      })
    } catch (error) {
      await this.kill()
      throw error
    } finally {
      clearTimeout(timer)
      this.#onSettled = undefined
    }
  }

  /** Has a {@link Supervisor.start} that is still under way fail; nothing otherwise. */
  abandonStart(): void {
    const error = new StartError('the flow was stopped while it was starting')
    this.#onSettled?.(this.#seats[0]!, error)
  }

  /** Asks every worker to finish its batch and end, and ends by force those that have not within `timeout`. */
  async stop(timeout: number): Promise<void> {
    this.#stopping = true
    const kill = (): void => {
      for (const { handle } of this.#seats) handle?.kill()
    }
    for (const { handle, backoff } of this.#seats) {
      clearTimeout(backoff)
      if (timeout > 0) handle?.send({ type: 'stop' })
    }
    if (timeout > 0) await this.#whenEmpty(timeout)
    kill()
    await this.#whenEmpty(LAST_GRACE)
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

  /** The death with which tasks were settled, by the number in their slots. */
  death(number: number): Death | undefined {
    return this.#deaths[number]
  }

  /** Workers that have ended when nobody asked them to. */
  get lost(): number {
    return this.#lost
  }

  workers(): WorkerReport[] {
    return this.#seats.map(({ step, worker, handle, ready, restarts }) => ({
      step: this.#steps[step]!.name,
      index: worker,
      pid: handle?.pid ?? -1,
      state: handle === undefined ? 'dead' : ready ? 'running' : 'starting',
      restarts,
    }))
  }

  /** Resolves once every worker has ended, or after `timeout`. */
  async #whenEmpty(timeout: number): Promise<void> {
    if (this.isEmpty) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#waitingForEmpty.add(resolve)
      timer = setTimeout(resolve, timeout)
    })
    clearTimeout(timer)
  }

  #spawn(seat: Seat): void {
    const plan = this.#steps[seat.step]!
    const workerPlan: WorkerPlan = {
      shape: this.#control.shape,
      actor: workerActor(this.#control.shape, seat.step, seat.worker),
      step: seat.step,
      worker: seat.worker,
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
    seat.ready = false
    const handle = spawn(workerPlan, this.#memory, plan, {
      onMessage: (message) => this.#onMessage(seat, message),
      onOutput: (stream, text) =>
        this.#events.onOutput(plan.name, seat.worker, handle.pid, stream, text),
      onExit: (exit) => this.#onExit(seat, handle, exit),
    })
    seat.handle = handle
  }

  #onMessage(seat: Seat, message: WorkerMessage): void {
    if (message.type === 'ready') {
      seat.ready = true
      seat.failedStarts = 0
      if (seat.restarts > 0)
        this.#events.onRestart(this.#steps[seat.step]!.name, seat.worker, seat.handle?.pid ?? -1)
      this.#onSettled?.(seat, undefined)
      return
    }
    const { name, handler } = this.#steps[seat.step]!
    const cause = fromErrorRecord(message.error)
    const error =
      message.failure === 'handler'
        ? new InvalidHandlerError(handler.className, cause.message, { cause })
        : message.failure === 'flow-in-worker'
          ? new StartError(
              `the module of ${handler.className} (${handler.url}) starts a flow when a worker imports it; put the handler in a module of its own, or guard the start with isFlowWorker()`,
              { cause, code: 'AQ_FLOW_IN_WORKER' },
            )
          : new StartError(`step ${name} could not start: ${cause.message}`, { cause })
    if (this.#onSettled !== undefined) this.#onSettled(seat, error)
    else seat.handle?.kill()
  }

  #onExit(seat: Seat, handle: WorkerHandle, exit: WorkerExit): void {
    if (this.#closed) return
    const { name } = this.#steps[seat.step]!
    const wasReady = seat.ready
    seat.handle = undefined
    seat.ready = false
    const death: Death = { step: name, pid: handle.pid, ...exit }
    const number = this.#deathCount++ % MAX_DEATHS
    this.#deaths[number] = death
    recoverWorker(this.#control, seat.step, seat.worker, number)
    if (this.#stopping) {
      if (this.isEmpty) for (const resolve of this.#waitingForEmpty) resolve()
      return
    }
    if (this.#onSettled !== undefined) {
      const how = exit.signal ?? `exit code ${exit.code}`
      this.#onSettled(
        seat,
        new StartError(`a worker of step ${name} ended with ${how} before it was ready`),
      )
      return
    }
    this.#lost++
    this.#events.onDeath(death)
    this.#restart(seat, wasReady)
  }

  #restart(seat: Seat, wasReady: boolean): void {
    seat.restarts++
    if (!wasReady && ++seat.failedStarts >= MAX_FAILED_STARTS) {
      const { name } = this.#steps[seat.step]!
      this.#events.onFailed(
        new StartError(
          `step ${name} cannot be kept alive: ${seat.failedStarts} restarts in a row ended before the worker was ready`,
        ),
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
