import { StartError } from '../errors.ts'
import type { Control } from '../transport/control.ts'
import { recoverWorker } from './recovery.ts'
import {
  type Death,
  Seat,
  type SeatEvents,
  type SharedPlan,
  type StepPlan,
  type WorkerReport,
} from './seat.ts'
import { StartTogether } from './start-together.ts'

export interface SupervisorEvents extends Omit<SeatEvents, 'onExit'> {
  /** A worker has ended that nobody had asked to. */
  onDeath(death: Death): void
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

/** Starts the workers of a flow, replaces those that die or are to be others, and ends them all. */
export class Supervisor {
  readonly #control: Control
  readonly #plans: StepPlan[]
  readonly #events: SupervisorEvents
  readonly #seats: readonly Seat[]
  readonly #deathCauses: (Error | undefined)[] = []
  /** Called whenever a worker has ended. */
  readonly #onGone = new Set<() => void>()
  readonly #reloads = new Map<number, Promise<void>>()
  #lost = 0
  #stopping = false
  #closed = false

  constructor(
    control: Control,
    shared: SharedPlan,
    plans: readonly StepPlan[],
    events: SupervisorEvents,
  ) {
    this.#control = control
    this.#plans = [...plans]
    this.#events = events
    const seatEvents: SeatEvents = {
      onOutput: (origin, stream, text) => events.onOutput(origin, stream, text),
      onLog: (origin, record) => events.onLog(origin, record),
      onRestart: (origin) => events.onRestart(origin),
      onExit: (seat, death, wasReady) => this.#onExit(seat, death, wasReady),
    }
    this.#seats = plans.flatMap((plan, step) =>
      Array.from(
        { length: shared.shape.steps[step]!.workers },
        (_, number) => new Seat(step, number, plan, shared, seatEvents),
      ),
    )
  }

  /** Starts all workers at once and waits until each is ready. After a failure, or past `timeout`, none is left. */
  async start(timeout: number): Promise<void> {
    try {
      const seats = this.#plans.flatMap((plan, step) => this.#take(step, plan))
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
   * Replaces the workers of a step by others with new arguments: those become ready beside the present ones, which then
   * finish their batches and end. When they cannot start, the present ones go on, and this rejects.
   */
  reload(step: number, args: readonly unknown[] | undefined, times: ReloadTimes): Promise<void> {
    const former = this.#reloads.get(step) ?? Promise.resolve()
    const reload = former.catch(() => undefined).then(() => this.#reload(step, args, times))
    this.#reloads.set(step, reload)
    return reload
  }

  /** Asks every worker to finish its batch and end, and ends by force those that have not within `timeout`. */
  async stop(timeout: number): Promise<void> {
    this.#stopping = true
    for (const seat of this.#seats) {
      seat.cancelRestart()
      seat.start?.fail(new StartError('the flow is stopping'))
      if (timeout > 0) seat.finish()
    }
    if (timeout > 0) await this.#whenGone(this.#seats, timeout)
    for (const seat of this.#seats) seat.end()
    await this.#whenGone(this.#seats, LAST_GRACE)
    this.#closed = true
  }

  /** Ends every worker at once. */
  kill(): Promise<void> {
    return this.stop(0)
  }

  /** Whether every worker has ended. A thread that is stuck in native code cannot be ended. */
  get isEmpty(): boolean {
    return this.#seats.every(({ isEmpty }) => isEmpty)
  }

  /** What a worker said that it died of, by the death's number. */
  deathCause(number: number): Error | undefined {
    return this.#deathCauses[number]
  }

  /** Workers that have ended when nobody asked them to. */
  get lost(): number {
    return this.#lost
  }

  workers(): WorkerReport[] {
    return this.seats().map(({ report }) => report)
  }

  /** The workers, with the number of each among those of its step. */
  seats(): { step: number; number: number; report: WorkerReport }[] {
    return this.#seats
      .filter(({ use }) => use !== 'spare')
      .map((seat) => ({ step: seat.step, number: seat.number, report: seat.report() }))
  }

  async #reload(
    step: number,
    args: readonly unknown[] | undefined,
    { startTimeout, drainTimeout }: ReloadTimes,
  ): Promise<void> {
    const present = this.#seats.filter((seat) => seat.step === step && seat.use === 'working')
    const { handler, ...rest } = this.#plans[step]!
    const plan = { ...rest, handler: { ...handler, args: args ?? handler.args } }
    const next = this.#take(step, plan)
    try {
      await this.#startTogether(next, startTimeout)
    } catch (error) {
      await this.#retire(next, drainTimeout)
      throw error
    }
    this.#plans[step] = plan
    await this.#retire(present, drainTimeout)
  }

  /** Spare seats for all workers of a step. */
  #take(step: number, plan: StepPlan): Seat[] {
    const spare = this.#seats.filter((seat) => seat.step === step && seat.use === 'spare')
    if (this.#stopping) throw new StartError('the flow is stopping')
    if (spare.length < plan.nprocs) {
      throw new StartError(
        `step ${plan.name} has no place for new workers: former ones are stuck and cannot be ended`,
      )
    }
    const taken = spare.slice(0, plan.nprocs)
    taken.forEach((seat, index) => seat.take(plan, index))
    return taken
  }

  async #startTogether(seats: readonly Seat[], timeout: number): Promise<void> {
    const start = new StartTogether(seats, timeout, ({ plan }) => plan.name)
    for (const seat of seats) {
      seat.start = start
      seat.spawn()
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
      seat.cancelRestart()
      seat.use = seat.isEmpty ? 'spare' : 'retiring'
      seat.finish()
    }
    await this.#whenGone(seats, timeout)
    for (const seat of seats) seat.end()
    await this.#whenGone(seats, LAST_GRACE)
  }

  /** Resolves once the workers of these seats have ended, or after `timeout`. */
  async #whenGone(seats: readonly Seat[], timeout: number): Promise<void> {
    const areGone = (): boolean => seats.every(({ isEmpty }) => isEmpty)
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

  #onExit(seat: Seat, death: Death, wasReady: boolean): void {
    if (this.#closed) return
    const number = this.#control.deaths.add({ ...death, step: seat.step })
    this.#deathCauses[number] = death.error
    // Who is ended by force with the flow leaves its tasks to the flow's end: they were stopped, and not struck by a death.
    if (!this.#stopping || !seat.wasEnded)
      recoverWorker(this.#control, seat.step, seat.number, number)
    const wasRetiring = seat.use === 'retiring'
    if (wasRetiring) seat.use = 'spare'
    for (const look of this.#onGone) look()
    if (this.#stopping) return
    if (seat.start !== undefined) {
      const how = death.signal ?? `exit code ${death.code}`
      const what = `a worker of step ${death.step} ended with ${how} before it was ready`
      seat.start.fail(new StartError(what, { cause: death.error }))
      return
    }
    if (wasRetiring && (death.code === 0 || seat.wasEnded)) return
    this.#lost++
    this.#events.onDeath(death)
    // The flow may have been stopped on account of it.
    if (this.#stopping || wasRetiring) return
    if (!wasReady && seat.failedStarts + 1 >= MAX_FAILED_STARTS) this.#giveUp(seat, death)
    else seat.restart(wasReady)
  }

  #giveUp({ failedStarts }: Seat, death: Death): void {
    const what = `step ${death.step} cannot be kept alive: ${failedStarts + 1} restarts in a row ended before the worker was ready`
    this.#events.onFailed(new StartError(what, { cause: death.error }), death)
  }
}
