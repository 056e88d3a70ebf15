import { toError } from '../errors.ts'
import { FieldEncoder } from '../transport/codec.ts'
import type { Control } from '../transport/control.ts'
import { writeFields } from '../transport/fields.ts'
import { MemoryExhausted } from '../transport/payloads.ts'
import { QUEUED, generationOfState, nextGeneration, stateWord } from '../transport/task-table.ts'
import type { GarbageRelief } from './garbage.ts'
import type { Pending } from './pending.ts'
import type { Results } from './results.ts'
import type { Slots } from './slots.ts'
import { WaitingList } from './waiting-list.ts'

/** What a task lacks that cannot be admitted now. */
type Refusal = 'slot' | 'room' | 'memory'

export interface AdmissionEvents {
  /** A task lies in the queue of its first step. */
  readonly onAdmitted: () => void
  /** A task can never be admitted. */
  readonly onRefused: (pending: Pending, error: Error) => void
  /** Flow time since when a body waits for memory; Infinity if none does. */
  readonly bodyWaitsSince: () => number
}

/**
 * How far into the memory that is kept for the steps a task may go that holds memory itself: all that admission may take
 * can be held by such tasks, and it comes back only when they are done.
 */
const STAGE_OF_HOLDERS = 0.25

/**
 * Brings tasks into shared memory: into a free slot, with their payloads, and into the queue of their first step. What
 * finds no place waits here, by priority and in the order of its arrival; but those who wait for memory are passed by
 * those who hold some (a body that was received for them).
 */
export class Admission {
  readonly #control: Control
  readonly #slots: Slots
  readonly #results: Results
  readonly #relief: GarbageRelief
  readonly #events: AdmissionEvents
  readonly #encoder: FieldEncoder
  readonly #waiting: readonly WaitingList<Pending>[]
  /** Those of them that hold memory. */
  readonly #holders = new Set<Pending>()
  readonly #stepsToWake: boolean[]
  #waitingCount = 0
  /** The task that lacks memory, and keeps those behind it waiting. */
  #starving: Pending | undefined
  #lacksMemory = false
  #wakePlanned = false
  #reliefTimer: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    control: Control,
    slots: Slots,
    results: Results,
    relief: GarbageRelief,
    payloadThreshold: number,
    events: AdmissionEvents,
  ) {
    this.#control = control
    this.#slots = slots
    this.#results = results
    this.#relief = relief
    this.#events = events
    this.#encoder = new FieldEncoder({ payloadThreshold })
    this.#waiting = Array.from({ length: control.shape.priorities }, () => new WaitingList())
    this.#stepsToWake = control.shape.steps.map(() => false)
  }

  /** Admits a task, at once if nobody came before it. */
  add(pending: Pending): void {
    if (this.#waitingCount > 0 && this.#hasElderWaiting(pending.priority)) {
      this.#wait(pending)
      if (this.starvingSince < Infinity) this.#admitHolders()
      return
    }
    const refusal = this.#admit(pending)
    if (refusal === undefined) return
    this.#wait(pending)
    this.#askFor(refusal, pending)
    // What was missing may have come before the request was seen.
    this.retry()
  }

  /** Admits what waits, the most urgent first, each priority in its order, until something is missing. */
  retry(): void {
    if (this.#waitingCount === 0 || this.#closed) return
    this.#starving = undefined
    for (let priority = this.#waiting.length - 1; priority >= 0; priority--) {
      const waiting = this.#waiting[priority]!
      for (let pending = waiting.first(); pending !== undefined; pending = waiting.first()) {
        const refusal = this.#admit(pending)
        if (refusal === undefined) {
          waiting.giveUp()
          this.#holders.delete(pending)
          this.#waitingCount--
          continue
        }
        if (refusal === 'memory') this.#admitHolders()
        this.#askFor(refusal, pending)
        if (refusal !== 'room') return
        break
      }
    }
  }

  /** Whether what waits here waits for memory. */
  get lacksMemory(): boolean {
    return this.#lacksMemory
  }

  /** Flow time at which the task was submitted that waits for memory; Infinity if none does. */
  get starvingSince(): number {
    const starving = this.#starving
    if (starving === undefined || starving.settled || starving.slot >= 0) return Infinity
    return starving.submittedAt
  }

  /** Forgets a task that waits here, whose caller has the outcome. */
  giveUp(pending: Pending): void {
    this.#waiting[pending.priority]!.giveUp()
    this.#holders.delete(pending)
    this.#waitingCount--
  }

  /** The tasks that wait here; each must be settled and given up before the next is asked for. */
  *drain(): Generator<Pending> {
    for (const waiting of this.#waiting) {
      for (let first = waiting.first(); first !== undefined; first = waiting.first()) yield first
    }
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#reliefTimer)
  }

  /** Whether a task that came earlier, or is more urgent, waits: then a new one waits behind it. */
  #hasElderWaiting(priority: number): boolean {
    for (let other = priority; other < this.#waiting.length; other++) {
      if (this.#waiting[other]!.size > 0) return true
    }
    return false
  }

  #wait(pending: Pending): void {
    this.#waiting[pending.priority]!.add(pending)
    if (pending.holdsMemory) this.#holders.add(pending)
    this.#waitingCount++
  }

  /** Admits those that hold memory, before their turn: who waits for memory waits for them. */
  #admitHolders(): void {
    for (const pending of this.#holders) {
      const refusal = this.#admit(pending)
      if (refusal === undefined) {
        this.giveUp(pending)
        continue
      }
      this.#askFor(refusal, pending)
      if (refusal !== 'room') return
    }
  }

  /** Arranges to be woken when what is missing comes. A slot comes with a completion. */
  #askFor(refusal: Refusal, pending: Pending): void {
    const { queues, blocks, actor } = this.#control
    this.#lacksMemory = refusal === 'memory'
    if (refusal === 'room') queues[pending.firstStep]!.waitForRoom(actor)
    if (refusal === 'memory') {
      this.#starving = pending
      blocks.wait()
      this.#relieveMemory()
    }
  }

  /** Tasks wait for memory: forgotten results may hold it. */
  #relieveMemory(): void {
    if (this.#reliefTimer !== undefined || this.#results.heldBlocks === 0) return
    const rest = this.#relief.relieve()
    this.#reliefTimer = setTimeout(() => {
      this.#reliefTimer = undefined
      this.retry()
    }, rest)
  }

  /** Says what is missing when the task cannot be admitted now. */
  #admit(pending: Pending): Refusal | undefined {
    const { tasks, queues, clock, actor } = this.#control
    const results = this.#results
    const queue = queues[pending.firstStep]!
    const slot = this.#slots.next()
    if (slot === undefined) return 'slot'
    if (!queue.hasRoom(pending.priority)) return 'room'
    const generation = nextGeneration(generationOfState(tasks.word(slot)))
    try {
      if (pending.holdsMemory) results.begin(slot, generation, STAGE_OF_HOLDERS)
      else results.begin(slot, generation, 0, this.#events.bodyWaitsSince() >= pending.submittedAt)
      writeFields(this.#control, this.#encoder, slot, generation, pending.task, results)
    } catch (error) {
      results.abandon(slot)
      if (error instanceof MemoryExhausted) return 'memory'
      this.#events.onRefused(pending, toError(error))
      return undefined
    }
    this.#slots.take(pending, results.takeLent())
    tasks.describe(slot, pending.taskClass, pending.priority, pending.deadline)
    tasks.setTarget(slot, pending.firstStep, clock.now())
    tasks.set(slot, stateWord(QUEUED, actor, generation))
    queue.push(slot, generation, pending.priority)
    if (queue.needsWake()) this.#planWake(pending.firstStep)
    this.#events.onAdmitted()
    return undefined
  }

  /** Rings for all tasks of this turn at once. */
  #planWake(step: number): void {
    this.#stepsToWake[step] = true
    if (this.#wakePlanned) return
    this.#wakePlanned = true
    queueMicrotask(() => {
      this.#wakePlanned = false
      if (this.#closed) return
      for (let index = 0; index < this.#stepsToWake.length; index++) {
        if (!this.#stepsToWake[index]) continue
        this.#stepsToWake[index] = false
        this.#control.wakeWorker(index)
      }
    })
  }
}
