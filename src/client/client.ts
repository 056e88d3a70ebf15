import {
  FlowStoppedError,
  HandlerError,
  OutOfMemoryError,
  QueueFullError,
  TaskCancelledError,
  TaskTimeoutError,
  toError,
} from '../errors.ts'
import {
  ADMITTED,
  CANCELLED,
  COMPLETED,
  type Counters,
  FAILED,
  REJECTED,
  TIMED_OUT,
} from '../metrics/counters.ts'
import { ClientMeter } from '../metrics/meters.ts'
import { BellReader } from '../transport/bell-reader.ts'
import type { Control } from '../transport/control.ts'
import { generationOf, slotOf } from '../transport/ring.ts'
import { Spinner, letOthersGo } from '../transport/spinner.ts'
import {
  DONE,
  OUTCOME_COMPLETED,
  OUTCOME_TIMED_OUT,
  generationOfState,
  stateOf,
  type RecordedTimings,
} from '../transport/task-table.ts'
import { Admission } from './admission.ts'
import { Deadlines } from './deadlines.ts'
import { Forecast } from './forecast.ts'
import { GarbageRelief } from './garbage.ts'
import { OutcomeReader } from './outcome-reader.ts'
import { Pending, type SubmitOptions } from './pending.ts'
import { recall } from './recall.ts'
import { type Finished, Results } from './results.ts'
import { Slots } from './slots.ts'
import { Uploads } from './uploads.ts'

export interface ClientOptions {
  readonly maxPending: number
  readonly payloadThreshold: number
  /** Longest spin in milliseconds. */
  readonly spin: number
  /** Read end of the client's bell. */
  readonly bell: number
  /** Per step, the name of the task's method that says whether it wants the step. */
  readonly conditions: readonly (string | undefined)[]
  readonly stepNames: readonly string[]
  /** Called whenever the bell rings, before the client looks for itself. */
  readonly onBell?: () => void
  /** What a worker said that it died of, by the death's number; only the flow's own process knows. */
  readonly deathCause?: (number: number) => Error | undefined
  readonly diagnostics?: ClientDiagnostics
  /** Called just before a task's promise is settled; `timings` are there for one that has failed in a worker, too. */
  readonly onSettled: (
    task: object,
    finished: Finished | undefined,
    timings: RecordedTimings | undefined,
  ) => void
  /** Who is shown the completed tasks that a flow with metrics has, once they are settled. */
  readonly slowTasks?: TaskWatcher
}

/** Who looks at how long tasks have taken. `endedAt` is flow time. */
interface TaskWatcher {
  /** Whether a task that took so long is one to look at. Asked for each. */
  wants(totalMs: number, endedAt: number): boolean
  /** `returnMs` is how long the task was on its way from the worker that finished it. */
  take(task: object, endedAt: number, returnMs: number): void
}

/** A completed task that its watcher may want. */
interface Wanted {
  readonly pending: Pending
  readonly returnMs: number
}

const nobody: Wanted[] = []
const settled = Promise.resolve()

/** Who is told that tasks or bodies have begun to wait for memory, or have ceased to. */
interface ClientDiagnostics {
  readonly isMemoryWatched: boolean
  memoryPressure(isWaiting: boolean): void
}

/** The books of a client, or of all. */
export interface Tally {
  readonly admitted: number
  readonly completed: number
  readonly failed: number
  readonly timedOut: number
  readonly cancelled: number
  readonly pending: number
  readonly rejected: number
}

/**
 * A client that finds fewer in a turn of the event loop looks for more once their callers have gone on: a turn costs as
 * much as a task.
 */
const COMPLETIONS_PER_TURN = 32
/** How much of its timeout a task may be expected to take: no estimate is exact. */
const SHARE_OF_TIMEOUT = 0.9
/** While there are completions, nobody spins for them. */
const BUSY = -1

/**
 * The caller's side of a flow: admits tasks, watches over their deadlines, and settles each exactly once. It alone uses
 * its part of the slot table while a slot is FREE, and it alone collects what is DONE.
 */
export class Client {
  /** Receives bodies into the client's shared memory. */
  readonly uploads: Uploads
  readonly #control: Control
  readonly #options: ClientOptions
  readonly #results: Results
  readonly #slots: Slots
  readonly #admission: Admission
  readonly #outcomes: OutcomeReader
  readonly #deadlines: Deadlines<Pending>
  readonly #bell: BellReader
  readonly #spinner: Spinner
  readonly #relief: GarbageRelief
  readonly #meter: ClientMeter
  readonly #counters: Counters
  readonly #forecast: Forecast
  /** What the counters showed when this client came: its place may have been another's. */
  readonly #before: Readonly<Record<number, number>>
  /** By priority: a tenth of the places is kept for the highest, less for each below. */
  readonly #mostPending: readonly number[]
  #pending = 0
  #onIdle: (() => void) | undefined
  #onBusy: (() => void) | undefined
  #polling = false
  /** Completions that were found since the event loop turned. */
  #foundInTurn = 0
  /** Flow time until which to look for completions; 0 for not at all. */
  #spinUntil = BUSY
  #closed = false
  /** What was told of {@link ClientDiagnostics.memoryPressure} last. */
  #isWaitingForMemory = false

  constructor(control: Control, options: ClientOptions) {
    this.#control = control
    this.#options = options
    const classes = control.shape.priorities
    this.#mostPending = Array.from({ length: classes }, (_, priority) => {
      const above = classes === 1 ? 0 : (classes - 1 - priority) / (classes - 1)
      return options.maxPending - Math.floor(0.1 * above * options.maxPending)
    })
    this.#results = new Results(control)
    this.#slots = new Slots(control, this.#results)
    control.paces.clear(control.actor)
    this.#forecast = new Forecast(control, options.conditions)
    const metricsStart = control.metricsStart(control.actor)
    this.#meter = new ClientMeter(control.words, metricsStart, control.shape)
    this.#counters = this.#meter.counters
    this.#before = Object.fromEntries(
      [ADMITTED, COMPLETED, FAILED, TIMED_OUT, CANCELLED, REJECTED].map((index) => [
        index,
        this.#counters.get(index),
      ]),
    )
    this.#outcomes = new OutcomeReader(
      control,
      this.#results,
      options.stepNames,
      options.deathCause ?? (() => undefined),
    )
    this.#spinner = new Spinner(options.spin)
    this.#relief = new GarbageRelief({
      heldBlocks: () => this.#results.heldBlocks,
      cool: () => {
        if (!this.#closed) control.blocks.coolAll()
      },
    })
    this.#admission = new Admission(
      control,
      this.#slots,
      this.#results,
      this.#relief,
      options.payloadThreshold,
      {
        onAdmitted: () => this.#poll(),
        onRefused: (pending, error) => this.#settle(pending, FAILED, error),
        bodyWaitsSince: () => this.uploads.waitingSince,
      },
    )
    this.uploads = new Uploads(control, this.#results, this.#relief, options, {
      hasElder: (since) => this.#admission.starvingSince < since,
      onChance: () => this.#retry(),
      onArrived: () => {
        if (this.#pending === 0) this.#relief.idle(performance.now())
      },
    })
    this.#deadlines = new Deadlines(
      () => control.clock.now(),
      (pending) => this.#onDeadline(pending),
      !control.isClockManual,
    )
    this.#bell = new BellReader(options.bell, () => {
      this.#options.onBell?.()
      this.#onBell()
    })
    control.bells.arm(control.actor)
  }

  /** Tasks that are admitted or wait to be, and whose callers have no outcome yet. */
  get pending(): number {
    return this.#pending
  }

  /** Number of priority classes. */
  get priorities(): number {
    return this.#control.shape.priorities
  }

  /** The client's books: admitted = completed + failed + timedOut + cancelled + pending, at every moment. */
  tally(): Tally {
    const since = (index: number): number => this.#counters.get(index) - (this.#before[index] ?? 0)
    return {
      admitted: since(ADMITTED),
      completed: since(COMPLETED),
      failed: since(FAILED),
      timedOut: since(TIMED_OUT),
      cancelled: since(CANCELLED),
      pending: this.#pending,
      rejected: since(REJECTED),
    }
  }

  /** Hands a task to the flow. Resolves with the same task, filled in, or rejects with a typed error. */
  submit(task: object, taskClass: number, options: SubmitOptions): Promise<object> {
    const { signal, timeout } = options
    let firstStep: number
    let now = 0
    try {
      this.#checkAdmissible(signal, options.priority)
      firstStep = this.#firstStep(task)
      if (firstStep >= 0) {
        now = this.#control.clock.now()
        if (timeout !== Infinity && this.#control.shape.refuseLate)
          this.#checkInTime(firstStep, options, now)
      }
      this.#counters.add(ADMITTED, 1)
    } catch (error) {
      this.#options.onSettled(task, undefined, undefined)
      return Promise.reject(toError(error))
    }
    if (firstStep < 0) {
      this.#counters.add(COMPLETED, 1)
      if (this.#meter.isOn) this.#meter.completedAtOnce()
      this.#options.onSettled(task, undefined, undefined)
      return Promise.resolve(task)
    }
    const holdsMemory = this.uploads.hasReceivedFor(task)
    const pending = new Pending(task, taskClass, options, firstStep, now, holdsMemory)
    this.#pending++
    if (this.#onBusy !== undefined) this.#sayBusy()
    if (timeout !== Infinity) this.#deadlines.add(pending, timeout)
    if (signal !== undefined) {
      pending.onAbort = () =>
        this.#withdraw(pending, CANCELLED, new TaskCancelledError(signal.reason))
      signal.addEventListener('abort', pending.onAbort, { once: true })
      if (signal.aborted) pending.onAbort() // by the task's own condition
    }
    if (!pending.settled) this.#admission.add(pending)
    this.#watchMemory()
    return pending.outcome
  }

  /** Settles what is due and collects what is done. Tests that move the clock call it after doing so. */
  tick(): void {
    this.#deadlines.run()
    this.uploads.tick()
    this.#look()
  }

  /** Resolves once nothing is pending. */
  whenIdle(): Promise<void> {
    if (this.#pending === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle = resolve
    })
  }

  /** Calls back once, as soon as something is pending. */
  whenBusy(callback: () => void): void {
    this.#onBusy = callback
    if (this.#pending > 0) this.#sayBusy()
  }

  /** Settles everything that is pending with `makeError`. */
  failAll(makeError: () => Error = () => new FlowStoppedError()): void {
    for (const pending of this.#admission.drain()) this.#withdraw(pending, FAILED, makeError())
    for (const pending of this.#slots.unsettled()) this.#withdraw(pending, FAILED, makeError())
  }

  /**
   * Ends the client: after the last worker has ended, or when the flow goes on without it and takes back what is left.
   * `onReleased` is called once the program holds no result any more that lies in shared memory.
   */
  close(onReleased: () => void): void {
    this.#closed = true
    this.uploads.close()
    this.#results.close(onReleased)
    this.#slots.forgetLent()
    this.#admission.close()
    this.#deadlines.stop()
    this.#bell.close()
    if (this.#results.heldBlocks === 0) this.#relief.stop()
    else this.#relief.idle(performance.now())
  }

  #sayBusy(): void {
    const callback = this.#onBusy
    this.#onBusy = undefined
    callback?.()
  }

  #checkAdmissible(signal: AbortSignal | undefined, priority: number): void {
    if (signal?.aborted === true) throw new TaskCancelledError(signal.reason)
    const most = this.#mostPending[priority]!
    if (this.#pending < most) return
    this.#counters.add(REJECTED, 1)
    const { msPerTask } = this.#forecast
    throw new QueueFullError(most, { retryAfter: msPerTask && Math.ceil(msPerTask) })
  }

  /** A task that will be late anyway would only make others late. */
  #checkInTime(firstStep: number, { priority, timeout }: SubmitOptions, now: number): void {
    const allowed = timeout * SHARE_OF_TIMEOUT
    const expected = this.#forecast.expect(firstStep, priority, now, allowed)
    if (expected <= allowed) {
      this.#forecast.add()
      return
    }
    this.#counters.add(REJECTED, 1)
    const retryAfter = expected < Infinity ? Math.ceil(expected - allowed) : undefined
    throw new QueueFullError(this.#mostPending[priority]!, { expected, timeout, retryAfter })
  }

  /** The first step that wants the task, or -1. The program's own code says so, and may look at the books meanwhile. */
  #firstStep(task: object): number {
    const { conditions } = this.#options
    for (let step = 0; step < conditions.length; step++) {
      const condition = conditions[step]
      if (condition === undefined) return step
      try {
        if ((task as Record<string, () => unknown>)[condition]!()) return step
      } catch (error) {
        this.#counters.add(ADMITTED, 1)
        this.#counters.add(FAILED, 1)
        throw new HandlerError(this.#options.stepNames[step] ?? 'unknown', error)
      }
    }
    return -1
  }

  /** Looks for completions in every turn of the event loop for as long as that promises to pay, then sleeps. */
  #poll(): void {
    if (this.#polling) return
    this.#polling = true
    this.#control.bells.disarm(this.#control.actor)
    this.#spinUntil = BUSY
    setImmediate(this.#onTurn)
  }

  readonly #onMicrotask = (): void => {
    try {
      this.#onTurn()
    } catch (error) {
      // It ends the program, as it would in a turn of the event loop, and not as a promise that nobody looks at.
      queueMicrotask(() => {
        throw error
      })
    }
  }

  readonly #onTurn = (): void => {
    if (this.#closed) return
    const found = this.#foundInTurn === 0 ? this.#look() : this.#drain()
    if (found > 0) {
      if (this.#spinUntil > 0) this.#spinner.hit()
      this.#spinUntil = BUSY
      this.#foundInTurn += found
      if (this.#foundInTurn < COMPLETIONS_PER_TURN) {
        void settled.then(this.#onMicrotask) // at less than what `queueMicrotask` costs
      } else {
        this.#foundInTurn = 0
        setImmediate(this.#onTurn)
      }
      return
    }
    this.#foundInTurn = 0
    if (this.#pending > 0) {
      const now = this.#control.clock.now()
      if (this.#spinUntil === BUSY) this.#spinUntil = this.#spinner.begin(now)
      if (now < this.#spinUntil) {
        letOthersGo()
        setImmediate(this.#onTurn)
        return
      }
      if (this.#spinUntil > 0) this.#spinner.miss()
    }
    this.#polling = false
    this.#sleep()
  }

  #onBell(): void {
    if (this.#closed) return
    this.#look()
    if (this.#polling) return
    if (this.#pending > 0) this.#poll()
    else this.#sleep()
  }

  #sleep(): void {
    this.#control.bells.arm(this.#control.actor)
    const found = this.#look()
    // Who took the waiters off their lists before the bell was armed has rung in vain: now that they have asked again, with
    // the bell armed, they look once more.
    this.#retry()
    if (found > 0) this.#poll()
  }

  /** What there is to do in a turn of the event loop: collects what is done, and takes back what a worker lacks. */
  #look(): number {
    const found = this.#drain()
    if (this.#pending > 0 && recall(this.#control, this.#slots, this.#admission)) this.#retry()
    return found
  }

  /**
   * Collects everything that is done; says how much that was. First all results are read, then all are measured, then all
   * callers are told: short loops are compiled better than one long one.
   */
  #drain(): number {
    const { tasks, completions, actor } = this.#control
    const ring = completions[actor]!
    let found = 0
    let first: Pending | undefined
    let last: Pending | undefined
    for (let cell = ring.takeAlone(); cell !== 0; cell = ring.takeAlone()) {
      found++
      const slot = slotOf(cell)
      if (!this.#slots.owns(slot)) continue
      const word = tasks.word(slot)
      const generation = generationOf(cell)
      if (stateOf(word) !== DONE || generationOfState(word) !== generation) continue
      const completed = this.#collect(slot, generation)
      if (completed === undefined) continue
      if (last === undefined) first = completed
      else last.nextCompleted = completed
      last = completed
    }
    ring.passTaken()
    if (first !== undefined) this.#complete(first)
    // A completion makes room, and so may a claim while nobody rings because this client is awake.
    this.#retry()
    return found
  }

  /** Gives room and memory to those that wait for it. Tasks and bodies wait for memory in one line. */
  #retry(): void {
    this.#admission.retry()
    while (this.uploads.retry()) this.#admission.retry()
    this.#watchMemory()
  }

  #watchMemory(): void {
    const { diagnostics } = this.#options
    if (diagnostics?.isMemoryWatched !== true) return
    const isWaiting = this.#admission.lacksMemory || this.uploads.waitingSince < Infinity
    if (isWaiting === this.#isWaitingForMemory) return
    this.#isWaitingForMemory = isWaiting
    diagnostics.memoryPressure(isWaiting)
  }

  /** Reads what a slot holds that is DONE. Returns its task if that was completed, for {@link #complete}. */
  #collect(slot: number, generation: number): Pending | undefined {
    const pending = this.#slots.holder(slot)
    if (pending === undefined || pending.settled) {
      this.#slots.release(slot, generation)
      return undefined
    }
    if (pending.finished !== undefined) return undefined // a cell that a death has doubled
    if (this.#control.tasks.outcome(slot) !== OUTCOME_COMPLETED) {
      this.#collectFailure(pending, slot, generation)
      return undefined
    }
    try {
      pending.finished = this.#outcomes.readResult(slot, generation, pending.task)
    } catch (unreadable) {
      this.#collectFailure(pending, slot, generation, toError(unreadable))
      return undefined
    }
    pending.doneGeneration = generation
    return pending
  }

  /** Settles the tasks of a list that were completed. */
  #complete(first: Pending): void {
    const now = this.#meter.isOn ? this.#control.clock.now() : 0
    const wanted = this.#meter.isOn ? this.#measure(first, now) : nobody
    for (let each: Pending | undefined = first; each !== undefined; each = each.nextCompleted) {
      this.#slots.release(each.slot, each.doneGeneration)
      this.#settle(each, COMPLETED)
    }
    if (wanted.length > 0) this.#show(wanted, now)
  }

  /** Records where the time of the tasks of a list went. Returns those that their watcher may want. */
  #measure(first: Pending, now: number): readonly Wanted[] {
    const { tasks } = this.#control
    const { slowTasks } = this.#options
    let wanted = nobody
    for (let each: Pending | undefined = first; each !== undefined; each = each.nextCompleted) {
      const { slot } = each
      const totalMs = now - each.submittedAt
      const returnMs = now - tasks.queuedAt(slot)
      this.#meter.completed(tasks.detail(slot), each.priority, totalMs, returnMs)
      each.timings = tasks.timings(slot, totalMs)
      if (slowTasks?.wants(totalMs, now) !== true) continue
      if (wanted === nobody) wanted = []
      wanted.push({ pending: each, returnMs })
    }
    this.#meter.record()
    return wanted
  }

  /** Shows the watcher what it still wants with those before taken. */
  #show(wanted: readonly Wanted[], now: number): void {
    const slowTasks = this.#options.slowTasks!
    for (const { pending, returnMs } of wanted) {
      const { task, submittedAt } = pending
      if (slowTasks.wants(now - submittedAt, now)) slowTasks.take(task, now, returnMs)
    }
  }

  #collectFailure(pending: Pending, slot: number, generation: number, unreadable?: Error): void {
    const { tasks, clock } = this.#control
    const outcome = tasks.outcome(slot)
    let error = unreadable
    try {
      error ??= this.#outcomes.readError(slot, generation, outcome, pending)
    } catch (unreadableError) {
      error = toError(unreadableError)
    }
    if (this.#meter.isOn) pending.timings = tasks.timings(slot, clock.now() - pending.submittedAt)
    this.#slots.release(slot, generation)
    this.#settle(pending, outcome === OUTCOME_TIMED_OUT ? TIMED_OUT : FAILED, error)
  }

  #onDeadline(pending: Pending): void {
    this.#drain() // what a worker has said of the task by now counts
    if (pending.settled) return
    const { slot, timeout } = pending
    const starved =
      slot < 0 ? this.#admission.lacksMemory : this.#control.tasks.waitsForMemory(slot)
    if (starved) this.#withdraw(pending, FAILED, new OutOfMemoryError())
    else this.#withdraw(pending, TIMED_OUT, new TaskTimeoutError(timeout))
  }

  /** Settles the caller now, and takes the task back if no worker has started it. */
  #withdraw(pending: Pending, outcome: number, error: Error): void {
    this.#admission.giveUp(pending)
    if (pending.settled) return
    const { slot } = pending
    this.#settle(pending, outcome, error)
    if (slot >= 0) this.#slots.withdraw(slot)
    queueMicrotask(() => this.#retry())
  }

  #settle(pending: Pending, outcome: number, error?: Error): void {
    pending.settled = true
    if (pending.timeout !== Infinity) this.#deadlines.remove(pending, pending.timeout)
    if (pending.onAbort !== undefined) pending.signal?.removeEventListener('abort', pending.onAbort)
    this.#counters.add(outcome, 1)
    this.#pending--
    this.#options.onSettled(pending.task, pending.finished, pending.timings)
    if (error === undefined) pending.resolve(pending.task)
    else pending.reject(error)
    if (this.#pending === 0) this.#rest()
  }

  #rest(): void {
    this.#relief.idle(performance.now())
    this.#onIdle?.()
    this.#onIdle = undefined
  }
}
