import {
  CodecError,
  FlowStoppedError,
  HandlerError,
  QueueFullError,
  TaskCancelledError,
  TaskTimeoutError,
  WorkerDiedError,
  toError,
} from '../errors.ts'
import {
  CANCELLED,
  COMPLETED,
  Counters,
  FAILED,
  REJECTED,
  TASKS,
  TIMED_OUT,
} from '../metrics/counters.ts'
import { FieldDecoder, FieldEncoder } from '../transport/codec.ts'
import type { Control } from '../transport/control.ts'
import { MemoryExhausted } from '../transport/payloads.ts'
import { type ErrorRecord, fromErrorRecord } from '../transport/protocol.ts'
import { generationOf, slotOf } from '../transport/ring.ts'
import { Spinner } from '../transport/spinner.ts'
import {
  CLAIMED,
  DONE,
  FREE,
  OUTCOME_COMPLETED,
  OUTCOME_FAILED,
  OUTCOME_TIMED_OUT,
  OUTCOME_WORKER_DIED,
  QUEUED,
  generationOfState,
  nextGeneration,
  stateOf,
  stateWord,
} from '../transport/task-table.ts'
import { ClientBell } from './client-bell.ts'
import { Deadlines, type Timed } from './deadlines.ts'
import { GarbageRelief } from './garbage.ts'
import { Results } from './results.ts'
import { WaitingList } from './waiting-list.ts'

/** How a worker that died is described to the callers of its tasks. */
interface DeathReport {
  readonly step: string
  readonly pid: number
  readonly code: number | undefined
  readonly signal: string | undefined
}

interface StepTiming {
  readonly queueMs: number
  readonly batchMs: number
  readonly handleMs: number
  readonly batchSize: number
}

/** What the library keeps in a caller's task once it is finished. */
export interface Finished {
  /** The leases in which its payloads lie. */
  readonly buffers: readonly ArrayBuffer[]
  readonly results: Results
  /** One entry per step; undefined where the task skipped it. */
  readonly timings: () => readonly (StepTiming | undefined)[]
  readonly totalMs: number
}

export interface ClientOptions {
  readonly maxPending: number
  readonly payloadThreshold: number
  /** Longest spin in milliseconds. */
  readonly spin: number
  /** Read end of the client's bell. */
  readonly bell: number
  /** Per step, the name of the task's method that says whether it wants the step. */
  readonly conditions: readonly (string | undefined)[]
  readonly death: (number: number) => DeathReport | undefined
  /** Called just before a task's promise is settled. */
  readonly onSettled: (task: object, finished: Finished | undefined) => void
}

export interface SubmitOptions {
  /** Milliseconds; Infinity for none. */
  readonly timeout: number
  readonly priority: number
  readonly signal: AbortSignal | undefined
}

export interface Tally {
  readonly admitted: number
  readonly completed: number
  readonly failed: number
  readonly timedOut: number
  readonly cancelled: number
  readonly pending: number
  readonly rejected: number
}

/** A task between `submit` and its outcome. */
class Pending implements Timed {
  readonly task: object
  readonly taskClass: number
  readonly timeout: number
  readonly priority: number
  readonly signal: AbortSignal | undefined
  readonly firstStep: number
  readonly submittedAt: number
  deadline: number
  resolve!: (task: object) => void
  reject!: (error: Error) => void
  earlier: Timed | undefined
  later: Timed | undefined
  /** -1 while it waits to be admitted, and once it is settled. */
  slot = -1
  settled = false
  onAbort: (() => void) | undefined

  constructor(
    task: object,
    taskClass: number,
    options: SubmitOptions,
    firstStep: number,
    now: number,
  ) {
    this.task = task
    this.taskClass = taskClass
    this.timeout = options.timeout
    this.priority = options.priority
    this.signal = options.signal
    this.firstStep = firstStep
    this.submittedAt = now
    this.deadline = now + options.timeout
  }
}

const BUSY = -1

type Refusal = 'slot' | 'room' | 'memory'

/**
 * The caller's side of a flow: admits tasks, watches over their deadlines, and settles each exactly once. It alone uses
 * its part of the slot table while a slot is FREE, and it alone collects what is DONE.
 */
export class Client {
  readonly #control: Control
  readonly #options: ClientOptions
  readonly #client: number
  readonly #firstSlot: number
  readonly #freeSlots: number[]
  readonly #bySlot: (Pending | undefined)[]
  readonly #lentBySlot = new Map<number, readonly number[]>()
  readonly #encoder: FieldEncoder
  readonly #decoder = new FieldDecoder()
  readonly #results: Results
  readonly #deadlines: Deadlines
  readonly #bell: ClientBell
  readonly #spinner: Spinner
  readonly #relief: GarbageRelief
  readonly #counters: Counters
  /** Tasks that wait to be admitted, by priority, in the order of their arrival. */
  readonly #waiting: WaitingList<Pending>[]
  #waitingCount = 0
  #pending = 0
  #onIdle: (() => void) | undefined
  #polling = false
  /** Flow time until which to look for completions; BUSY while there are some. */
  #spinUntil = BUSY
  #wakeFlags: boolean[]
  #wakePlanned = false
  #reliefTimer: NodeJS.Timeout | undefined
  #closed = false

  constructor(control: Control, client: number, options: ClientOptions) {
    const { shape } = control
    this.#control = control
    this.#options = options
    this.#client = client
    this.#firstSlot = client * shape.slotsPerClient
    this.#freeSlots = Array.from(
      { length: shape.slotsPerClient },
      (_, index) => this.#firstSlot + shape.slotsPerClient - 1 - index,
    )
    this.#bySlot = Array.from({ length: shape.slotsPerClient })
    this.#encoder = new FieldEncoder({ payloadThreshold: options.payloadThreshold })
    this.#results = new Results(control)
    this.#counters = new Counters(control.words, control.metricsStart(client))
    this.#waiting = Array.from({ length: shape.priorities }, () => new WaitingList())
    this.#wakeFlags = shape.steps.map(() => false)
    this.#spinner = new Spinner(options.spin)
    this.#relief = new GarbageRelief({
      heldBlocks: () => this.#results.heldBlocks,
      cool: () => {
        if (!this.#closed) control.blocks.coolAll()
      },
    })
    this.#deadlines = new Deadlines(
      () => control.clock.now(),
      (timed) => this.#onDeadline(timed as Pending),
      !control.isClockManual,
    )
    this.#bell = new ClientBell(options.bell, () => this.#onBell())
    control.bells.arm(client)
  }

  /** Tasks that are admitted or wait to be, and whose callers have no outcome yet. */
  get pending(): number {
    return this.#pending
  }

  /** Tasks whose slots are in use, also those whose callers have gone. */
  get slotsInUse(): number {
    return this.#control.shape.slotsPerClient - this.#freeSlots.length
  }

  /** The client's books: admitted = completed + failed + timedOut + cancelled + pending, at every moment. */
  tally(): Tally {
    const counters = this.#counters
    return {
      admitted: counters.get(TASKS),
      completed: counters.get(COMPLETED),
      failed: counters.get(FAILED),
      timedOut: counters.get(TIMED_OUT),
      cancelled: counters.get(CANCELLED),
      pending: this.#pending,
      rejected: counters.get(REJECTED),
    }
  }

  /** Hands a task to the flow. Resolves with the same task, filled in, or rejects with a typed error. */
  submit(task: object, taskClass: number, options: SubmitOptions): Promise<object> {
    const { signal } = options
    let firstStep: number
    try {
      if (signal?.aborted === true) throw new TaskCancelledError(signal.reason)
      if (this.#pending >= this.#options.maxPending) {
        this.#counters.add(REJECTED, 1)
        throw new QueueFullError(this.#options.maxPending)
      }
      firstStep = this.#firstStep(task)
    } catch (error) {
      this.#options.onSettled(task, undefined)
      return Promise.reject(toError(error))
    }
    if (firstStep < 0) {
      this.#counters.add(TASKS, 1)
      this.#counters.add(COMPLETED, 1)
      this.#options.onSettled(task, undefined)
      return Promise.resolve(task)
    }
    const pending = new Pending(task, taskClass, options, firstStep, this.#control.clock.now())
    const outcome = new Promise<object>(takeSettlers)
    pending.resolve = lastResolve
    pending.reject = lastReject
    lastResolve = lastReject = nothing // or the last promise would keep its task, and the task its memory
    this.#pending++
    this.#counters.add(TASKS, 1)
    if (options.timeout !== Infinity) this.#deadlines.add(pending, options.timeout)
    if (signal !== undefined) {
      pending.onAbort = () =>
        this.#withdraw(pending, CANCELLED, new TaskCancelledError(signal.reason))
      signal.addEventListener('abort', pending.onAbort, { once: true })
    }
    if (this.#waitingCount > 0 && this.#hasElderWaiting(pending.priority)) this.#wait(pending)
    else this.#admitOrWait(pending)
    return outcome
  }

  /** Settles what is due and collects what is done. Tests that move the clock call it after doing so. */
  tick(): void {
    this.#deadlines.run()
    this.#drain()
  }

  /** Resolves once nothing is pending. */
  whenIdle(): Promise<void> {
    if (this.#pending === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle = resolve
    })
  }

  /** Settles everything that is pending with `makeError`. */
  failAll(makeError: () => Error = () => new FlowStoppedError()): void {
    for (const waiting of this.#waiting) {
      for (let pending = waiting.first(); pending !== undefined; pending = waiting.first()) {
        this.#settle(pending, FAILED, makeError())
        waiting.giveUp()
      }
    }
    this.#waitingCount = 0
    for (const pending of this.#bySlot) {
      if (pending !== undefined && !pending.settled) this.#withdraw(pending, FAILED, makeError())
    }
  }

  /**
   * Ends the client, after the last worker has ended. `onReleased` is called once the program holds no result any more
   * that lies in shared memory.
   */
  close(onReleased: () => void): void {
    this.#closed = true
    this.#results.close(onReleased)
    this.#deadlines.stop()
    this.#bell.close()
    clearTimeout(this.#reliefTimer)
    if (this.#results.heldBlocks === 0) this.#relief.stop()
    else this.#relief.idle(performance.now())
  }

  /** Whether a task that came earlier, or is more urgent, waits: then a new one waits behind it. */
  #hasElderWaiting(priority: number): boolean {
    for (let other = priority; other < this.#waiting.length; other++)
      if (this.#waiting[other]!.size > 0) return true
    return false
  }

  #wait(pending: Pending): void {
    this.#waiting[pending.priority]!.add(pending)
    this.#waitingCount++
  }

  #admitOrWait(pending: Pending): void {
    const refusal = this.#admit(pending)
    if (refusal === undefined) return
    this.#wait(pending)
    this.#askFor(refusal, pending)
    // What was missing may have come before the request was seen.
    this.#admitWaiting()
  }

  /** Arranges to be woken when what is missing comes. A slot comes with a completion. */
  #askFor(refusal: Refusal, pending: Pending): void {
    if (refusal === 'room') this.#control.queues[pending.firstStep]!.waitForRoom(this.#client)
    if (refusal === 'memory') {
      this.#control.blocks.wait()
      this.#relieveMemory()
    }
  }

  /** Admits what waits, the most urgent first, each priority in its order, until something is missing. */
  #admitWaiting(): void {
    if (this.#waitingCount === 0 || this.#closed) return
    for (let priority = this.#waiting.length - 1; priority >= 0; priority--) {
      const waiting = this.#waiting[priority]!
      for (let pending = waiting.first(); pending !== undefined; pending = waiting.first()) {
        const refusal = this.#admit(pending)
        if (refusal === undefined) {
          if (pending.settled) waiting.giveUp() // its fields could not be encoded
          else waiting.shift()
          this.#waitingCount--
          continue
        }
        this.#askFor(refusal, pending)
        if (refusal !== 'room') return
        break
      }
    }
  }

  /** Puts a task into a slot and into the queue of its first step. Says what is missing when that cannot be done now. */
  #admit(pending: Pending): Refusal | undefined {
    const { tasks, queues, leases, clock } = this.#control
    const queue = queues[pending.firstStep]!
    const slot = this.#freeSlots.at(-1)
    if (slot === undefined) return 'slot'
    if (!queue.hasRoom(pending.priority)) return 'room'
    const generation = nextGeneration(generationOfState(tasks.word(slot)))
    const results = this.#results
    results.begin(slot, generation)
    try {
      const start = tasks.fieldsStart(slot, generation)
      const length = this.#encoder.encode(
        pending.task,
        tasks.bytes,
        start,
        start + tasks.geometry.inlineBytes,
        results,
      )
      if (length >= 0) {
        tasks.setFields(slot, generation, length, -1)
      } else {
        const { overflow } = this.#encoder
        const block = results.allocate(overflow.byteLength)
        leases.withBytes(block, 0, overflow.byteLength, (bytes) => bytes.set(overflow))
        tasks.setFields(slot, generation, overflow.byteLength, block)
      }
    } catch (error) {
      results.abandon(slot)
      if (error instanceof MemoryExhausted) return 'memory'
      this.#settle(pending, FAILED, error as Error)
      return undefined
    }
    const lent = results.takeLent()
    if (lent.length > 0) this.#lentBySlot.set(slot, lent)
    this.#freeSlots.pop()
    tasks.describe(slot, pending.taskClass, pending.priority, pending.deadline)
    tasks.clearTimings(slot)
    tasks.setTarget(slot, pending.firstStep, clock.now())
    pending.slot = slot
    this.#bySlot[slot - this.#firstSlot] = pending
    tasks.set(slot, stateWord(QUEUED, this.#client, generation))
    queue.push(slot, generation, pending.priority)
    if (queue.hasSleeper()) this.#planWake(pending.firstStep)
    this.#poll()
    return undefined
  }

  /** Rings for all tasks of this turn at once. */
  #planWake(step: number): void {
    this.#wakeFlags[step] = true
    if (this.#wakePlanned) return
    this.#wakePlanned = true
    queueMicrotask(() => {
      this.#wakePlanned = false
      if (this.#closed) return
      for (let index = 0; index < this.#wakeFlags.length; index++) {
        if (!this.#wakeFlags[index]) continue
        this.#wakeFlags[index] = false
        this.#control.wakeWorker(index)
      }
    })
  }

  /** Looks for completions in every turn of the event loop for as long as that promises to pay, then sleeps. */
  #poll(): void {
    if (this.#polling) return
    this.#polling = true
    this.#control.bells.disarm(this.#client)
    this.#spinUntil = BUSY
    setImmediate(this.#onTurn)
  }

  readonly #onTurn = (): void => {
    if (this.#closed) return
    const { clock, bells } = this.#control
    if (this.#drain()) {
      if (this.#spinUntil > 0) this.#spinner.hit()
      this.#spinUntil = BUSY
    }
    if (this.#pending > 0) {
      const now = clock.now()
      if (this.#spinUntil === BUSY) this.#spinUntil = this.#spinner.begin(now)
      if (now < this.#spinUntil) {
        setImmediate(this.#onTurn)
        return
      }
      if (this.#spinUntil > 0) this.#spinner.miss()
    }
    this.#polling = false
    bells.arm(this.#client)
    if (this.#drain()) this.#poll()
  }

  #onBell(): void {
    if (this.#closed) return
    this.#drain()
    if (this.#polling) return
    if (this.#pending > 0) {
      this.#poll()
      return
    }
    this.#control.bells.arm(this.#client)
    if (this.#drain()) this.#poll()
  }

  /** Collects everything that is done; true when there was something. */
  #drain(): boolean {
    const { tasks, completions } = this.#control
    const ring = completions[this.#client]!
    let found = false
    for (let cell = ring.peek(); cell !== 0; cell = ring.peek()) {
      ring.remove(cell)
      found = true
      const slot = slotOf(cell)
      const index = slot - this.#firstSlot
      if (index < 0 || index >= this.#bySlot.length) continue
      const word = tasks.word(slot)
      if (stateOf(word) === DONE && generationOfState(word) === generationOf(cell))
        this.#collect(slot, generationOf(cell))
    }
    // A completion makes room, and so may a claim while nobody rings because this client is awake.
    if (this.#waitingCount > 0) this.#admitWaiting()
    return found
  }

  #collect(slot: number, generation: number): void {
    const { tasks } = this.#control
    const pending = this.#bySlot[slot - this.#firstSlot]
    if (pending === undefined || pending.settled) {
      this.#free(slot, generation)
      return
    }
    const outcome = tasks.outcome(slot)
    let finished: Finished | undefined
    let error: Error | undefined
    try {
      if (outcome === OUTCOME_COMPLETED) finished = this.#readResult(slot, generation, pending)
      else error = this.#readError(slot, generation, outcome, pending)
    } catch (unreadable) {
      error = unreadable as Error
    }
    this.#free(slot, generation)
    if (error === undefined) this.#settle(pending, COMPLETED, undefined, finished)
    else this.#settle(pending, outcome === OUTCOME_TIMED_OUT ? TIMED_OUT : FAILED, error)
  }

  #readResult(slot: number, generation: number, pending: Pending): Finished {
    const { tasks, clock } = this.#control
    this.#results.beginOpening(slot)
    this.#decodeInto(pending.task, slot, generation)
    const stepCount = tasks.geometry.steps
    const timings: (StepTiming | undefined)[] = []
    for (let step = 0; step < stepCount; step++) timings.push(tasks.timing(slot, step))
    return {
      buffers: this.#results.takeOpened(),
      results: this.#results,
      timings: () => timings,
      totalMs: clock.now() - pending.submittedAt,
    }
  }

  #readError(slot: number, generation: number, outcome: number, pending: Pending): Error {
    const { tasks } = this.#control
    if (outcome === OUTCOME_TIMED_OUT) return new TaskTimeoutError(pending.timeout)
    if (outcome === OUTCOME_WORKER_DIED) {
      const death = this.#options.death(tasks.detail(slot))
      return new WorkerDiedError(
        death?.step ?? 'unknown',
        death?.pid ?? -1,
        death?.code,
        death?.signal,
      )
    }
    if (outcome !== OUTCOME_FAILED) return new TaskCancelledError(pending.signal?.reason)
    const holder: { error?: unknown; record?: ErrorRecord } = {}
    this.#results.beginOpening(slot)
    this.#decodeInto(holder, slot, generation)
    const cause = holder.record === undefined ? holder.error : fromErrorRecord(holder.record)
    if (cause instanceof Error && 'code' in cause) {
      // The library's own refusals come back as what they were.
      if (cause.code === 'AQ_UNSERIALIZABLE' || cause.code === 'AQ_CORRUPT') {
        const path = 'path' in cause ? String(cause.path) : ''
        return new CodecError(cause.code, cause.message, path, { cause })
      }
    }
    return new HandlerError(cause)
  }

  #decodeInto(target: object, slot: number, generation: number): void {
    const { tasks, leases } = this.#control
    const length = tasks.fieldsLength(slot, generation)
    const block = tasks.fieldsBlock(slot, generation)
    if (block < 0) {
      this.#decoder.decodeInto(
        target,
        tasks.bytes,
        tasks.fieldsStart(slot, generation),
        length,
        this.#results,
        true,
      )
      return
    }
    leases.withBytes(block, 0, length, (bytes) => {
      this.#decoder.decodeInto(target, bytes, 0, length, this.#results, true)
    })
  }

  /** Makes a slot that this client owns alone usable again. */
  #free(slot: number, generation: number): void {
    const { tasks } = this.#control
    this.#results.releaseSlot(slot)
    const lent = this.#lentBySlot.get(slot)
    if (lent !== undefined) {
      this.#lentBySlot.delete(slot)
      this.#results.giveBack(lent)
    }
    this.#bySlot[slot - this.#firstSlot] = undefined
    tasks.set(slot, stateWord(FREE, this.#client, generation))
    this.#freeSlots.push(slot)
  }

  #onDeadline(pending: Pending): void {
    this.#withdraw(pending, TIMED_OUT, new TaskTimeoutError(pending.timeout))
  }

  /** Settles the caller now, and takes the task back if no worker has started it. */
  #withdraw(pending: Pending, outcome: number, error: Error): void {
    if (pending.settled) return
    const { tasks } = this.#control
    const { slot } = pending
    if (slot < 0) {
      pending.settled = true
      this.#waiting[pending.priority]!.giveUp()
      this.#waitingCount--
    } else {
      for (;;) {
        const word = tasks.word(slot)
        const state = stateOf(word)
        if (state !== QUEUED && state !== CLAIMED) {
          tasks.cancel(slot)
          break
        }
        const generation = generationOfState(word)
        const step = tasks.target(slot)
        if (tasks.move(slot, word, stateWord(FREE, this.#client, generation))) {
          this.#free(slot, generation)
          this.#control.wakeRoomWaiters(step)
          break
        }
      }
    }
    this.#settle(pending, outcome, error)
    if (this.#waitingCount > 0) queueMicrotask(() => this.#admitWaiting())
  }

  #settle(pending: Pending, outcome: number, error: Error | undefined, finished?: Finished): void {
    pending.settled = true
    if (pending.timeout !== Infinity) this.#deadlines.remove(pending, pending.timeout)
    if (pending.onAbort !== undefined) pending.signal?.removeEventListener('abort', pending.onAbort)
    this.#counters.add(outcome, 1)
    this.#pending--
    this.#options.onSettled(pending.task, finished)
    if (error === undefined) pending.resolve(pending.task)
    else pending.reject(error)
    if (this.#pending === 0) this.#onceIdle()
  }

  #onceIdle(): void {
    this.#relief.idle(performance.now())
    this.#onIdle?.()
    this.#onIdle = undefined
  }

  /** Tasks wait for memory: forgotten results may hold it. */
  #relieveMemory(): void {
    if (this.#reliefTimer !== undefined || this.#results.heldBlocks === 0) return
    const rest = this.#relief.relieve()
    this.#reliefTimer = setTimeout(() => {
      this.#reliefTimer = undefined
      this.#admitWaiting()
    }, rest)
  }

  #firstStep(task: object): number {
    const { conditions } = this.#options
    for (let step = 0; step < conditions.length; step++) {
      const condition = conditions[step]
      if (condition === undefined || (task as Record<string, () => unknown>)[condition]!())
        return step
    }
    return -1
  }
}

// The settlers of the promise made last: one function for all promises, instead of a closure for each.
const nothing = (): void => undefined
let lastResolve: (task: object) => void = nothing
let lastReject: (error: Error) => void = nothing
const takeSettlers = (resolve: (task: object) => void, reject: (error: Error) => void): void => {
  lastResolve = resolve
  lastReject = reject
}
