import { StartError } from '../errors.ts'
import type { Control } from '../transport/control.ts'
import { HangWatch } from './hang-watch.ts'
import type { WorkerOrigin } from '../transport/protocol.ts'
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

export interface SupervisorEvents extends Omit<SeatEvents, 'onExit' | 'onReady' | 'onOutgrown'> {
  /** A worker is ready; `isReplacement` says that it has replaced one that died. */
  onReady(origin: WorkerOrigin, isReplacement: boolean): void
  /** A worker has ended; `isExpected` says that it was asked to. */
  onExit(death: Death, isExpected: boolean): void
  /** The worker that has ended is being replaced. */
  onRestart(worker: WorkerOrigin): void
  /** A worker with too much memory of its own is about to be replaced; `error` says why it could not be. */
  onRecycle(origin: WorkerOrigin, bytes: number, error: Error | undefined): void
  /** A worker has ended that nobody had asked to. */
  onDeath(death: Death): void
  /** A step cannot be kept alive: its workers die before they are ready, again and again. They go on being started. */
  onFailed(error: Error, death: Death): void
  /** Every step has a worker again, the last of them this one. */
  onRecovered(step: string): void
}

/** Milliseconds that the halves of a reload may take. */
export interface ReloadTimes {
  readonly startTimeout: number
  readonly drainTimeout: number
}

/** Restarts in a row that end before the worker is ready, until a step that has no other is given up. */
const MAX_FAILED_STARTS = 5
/** Milliseconds to wait for workers that were ended: a stuck thread never does. Longer than any that ends is given. */
const LAST_GRACE = 5_000

/** Starts the workers of a flow, replaces those that die or are to be others, and ends them all. */
export class Supervisor {
  readonly #control: Control
  readonly #plans: StepPlan[]
  readonly #events: SupervisorEvents
  readonly #recycleTimes: ReloadTimes
  readonly #seats: readonly Seat[]
  readonly #deathCauses: (Error | undefined)[] = []
  /** Called whenever a worker has ended. */
  readonly #onGone = new Set<() => void>()
  readonly #hangs: HangWatch<Seat>
  readonly #reloads = new Map<number, Promise<void>>()
  /** Steps that cannot be kept alive. */
  readonly #down = new Set<number>()
  #lost = 0
  #stopping = false
  #closed = false

  constructor(
    control: Control,
    shared: SharedPlan,
    plans: readonly StepPlan[],
    events: SupervisorEvents,
    recycleTimes: ReloadTimes,
  ) {
    this.#control = control
    this.#plans = [...plans]
    this.#events = events
    this.#recycleTimes = recycleTimes
    const seatEvents: SeatEvents = {
      onOutput: (origin, stream, text) => events.onOutput(origin, stream, text),
      onLog: (origin, record) => events.onLog(origin, record),
      onStart: (origin) => events.onStart(origin),
      onReady: (seat, origin, isReplacement) => this.#onReady(seat, origin, isReplacement),
      onOutgrown: (seat, origin, bytes) => this.#recycle(seat, origin, bytes),
      onExit: (seat, death, wasReady) => this.#onExit(seat, death, wasReady),
    }
    this.#seats = plans.flatMap((plan, step) =>
      Array.from(
        { length: shared.shape.steps[step]!.workers },
        (_, number) => new Seat(step, number, plan, shared, seatEvents),
      ),
    )
    const watched = this.#seats.filter(({ handleTimeout }) => handleTimeout !== Infinity)
    this.#hangs = new HangWatch(
      control,
      () => watched.filter((seat) => !seat.isEmpty && !seat.wasEnded),
      (seat, since) => {
        seat.hungSince = since
        seat.end()
      },
    )
  }

  /** Starts all workers at once and waits until each is ready. After a failure, or past `timeout`, none is left. */
  async start(timeout: number): Promise<void> {
    try {
      const seats = this.#plans.flatMap((plan, step) => {
        return this.#take(step, plan, [...Array(plan.nprocs).keys()])
      })
      await this.#startTogether(seats, timeout)
    } catch (error) {
      await this.kill()
      throw error
    }
  }

  /** The bell of this process has rung. */
  onBell(): void {
    this.#hangs.onBell()
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
    return this.#inTurn(step, () => this.#reload(step, args, times))
  }

  /** Replacements of a step's workers come one after another: there are spare seats for one generation. */
  #inTurn(step: number, replace: () => Promise<void>): Promise<void> {
    const former = this.#reloads.get(step) ?? Promise.resolve()
    const replacement = former.catch(() => undefined).then(replace)
    this.#reloads.set(step, replacement)
    return replacement
  }

  /** Replaces a worker that has grown too large by another, which becomes ready beside it. */
  #recycle(seat: Seat, origin: WorkerOrigin, bytes: number): void {
    const { step, plan } = seat
    this.#inTurn(step, async () => {
      // It may have died or been replaced for other reasons meanwhile.
      if (this.#stopping || seat.use !== 'working' || !seat.isReady) return
      if (seat.report().pid !== origin.pid) return
      this.#events.onRecycle(origin, bytes, undefined)
      await this.#replace([seat], plan, this.#recycleTimes)
    }).catch((error: unknown) => {
      if (!this.#stopping) this.#events.onRecycle(origin, bytes, error as Error) // a StartError
    })
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
    this.#hangs.stop()
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
    times: ReloadTimes,
  ): Promise<void> {
    const present = this.#seats.filter((seat) => seat.step === step && seat.use === 'working')
    const { handler, ...rest } = this.#plans[step]!
    const plan = { ...rest, handler: { ...handler, args: args ?? handler.args } }
    await this.#replace(present, plan, times, () => {
      this.#plans[step] = plan
    })
  }

  /** Starts as many other workers of a step; once they are ready, the present ones finish and end. */
  async #replace(
    present: readonly Seat[],
    plan: StepPlan,
    { startTimeout, drainTimeout }: ReloadTimes,
    onReady?: () => void,
  ): Promise<void> {
    const next = this.#take(
      present[0]!.step,
      plan,
      present.map(({ index }) => index),
    )
    try {
      await this.#startTogether(next, startTimeout)
    } catch (error) {
      await this.#retire(next, drainTimeout)
      throw error
    }
    onReady?.()
    await this.#retire(present, drainTimeout)
  }

  /** Spare seats for workers of a step with these indexes. */
  #take(step: number, plan: StepPlan, indexes: readonly number[]): Seat[] {
    const spare = this.#seats.filter((seat) => seat.step === step && seat.use === 'spare')
    if (this.#stopping) throw new StartError('the flow is stopping')
    if (spare.length < indexes.length) {
      throw new StartError(
        `step ${plan.name} has no place for new workers: former ones are stuck and cannot be ended`,
      )
    }
    const taken = spare.slice(0, indexes.length)
    taken.forEach((seat, position) => seat.take(plan, indexes[position]!))
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
      this.#control.vitals.setEnding(seat.actor)
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

  #onReady(seat: Seat, origin: WorkerOrigin, isReplacement: boolean): void {
    this.#control.vitals.setLive(seat.actor, seat.plan.patience)
    this.#events.onReady(origin, isReplacement)
    if (this.#down.delete(seat.step) && this.#down.size === 0)
      this.#events.onRecovered(seat.plan.name)
  }

  #onExit(seat: Seat, exit: Omit<Death, 'handleTimeout'>, wasReady: boolean): void {
    if (this.#closed) return
    const { deaths, vitals } = this.#control
    // It may have finished the batch after all, and died with another.
    const isHang = seat.hungSince !== undefined && vitals.busySince(seat.actor) === seat.hungSince
    vitals.clear(seat.actor)
    const death = { ...exit, handleTimeout: isHang ? seat.handleTimeout : Infinity }
    const number = deaths.add({ ...death, step: seat.step })
    this.#deathCauses[number] = death.error
    // Who is ended by force with the flow leaves its tasks to the flow's end: they were stopped, and not struck by a death.
    if (!this.#stopping || !seat.wasEnded)
      recoverWorker(this.#control, seat.step, seat.number, {
        death: number,
        retries: seat.plan.retries,
        suspects: isHang ? 'hang' : seat.wasEnded ? 'nobody' : 'task',
      })
    const wasRetiring = seat.use === 'retiring'
    if (wasRetiring) seat.use = 'spare'
    this.#events.onExit(death, this.#stopping || seat.wasEnded || (wasRetiring && death.code === 0))
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
    this.#events.onRestart(death)
    seat.restart(wasReady)
    this.#lookDown(seat.step, death)
  }

  /** Gives a step up of which no worker is ready, and one could not be started again and again. */
  #lookDown(step: number, death: Death): void {
    const seats = this.#seats.filter((seat) => seat.step === step && seat.use === 'working')
    const failedStarts = Math.max(...seats.map((seat) => seat.failedStarts))
    if (failedStarts < MAX_FAILED_STARTS || seats.some(({ isReady }) => isReady)) return
    if (this.#down.has(step)) return
    this.#down.add(step)
    const what = `step ${death.step} cannot be kept alive: ${failedStarts} restarts in a row ended before the worker was ready`
    this.#events.onFailed(new StartError(what, { cause: death.error }), death)
  }
}
