import { toError } from '../errors.ts'
import { ageRank, isAgeing } from '../transport/ageing.ts'
import { sendsAnother } from '../transport/codec-error.ts'
import { FieldEncoder } from '../transport/codec.ts'
import type { Control } from '../transport/control.ts'
import { writeFields } from '../transport/fields.ts'
import { MemoryExhausted } from '../transport/payloads.ts'
import type { StepQueue } from '../transport/step-queue.ts'
import { QUEUED, nextGeneration, stateWord } from '../transport/task-table.ts'
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
 * finds no place waits here: each priority in the order of its arrival, and the priorities by turns of urgency and age;
 * but those who wait for memory are passed by those who hold some (a body that was received for them).
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
  #admitting: Pending | undefined
  /** What was missing last. */
  #lacks: Refusal | undefined
  /** The task that lacks memory, and keeps those behind it waiting. */
  #starving: Pending | undefined
  readonly #isAgeing: boolean
  /** Whose turn the next task that finds a place is. */
  #isTurnOfAge = false
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
    this.#isAgeing = isAgeing(control.shape.priorities, control.shape.priorityAgeing)
    this.#encoder = new FieldEncoder({ payloadThreshold })
    this.#waiting = Array.from({ length: control.shape.priorities }, () => new WaitingList())
    this.#stepsToWake = control.shape.steps.map(() => false)
  }

  /** Admits a task, at once if nobody who waits comes before it. */
  add(pending: Pending): void {
    if (this.#admitting !== undefined) {
      // One of its getters sends this one; its fields lie in the slot that is next.
      this.#events.onRefused(pending, sendsAnother())
      return
    }
    if (this.#waitingCount > 0 && this.#isBehind(pending)) {
      this.#wait(pending)
      if (this.starvingSince < Infinity) this.#admitHolders()
      return
    }
    const refusal = this.#admit(pending, pending.submittedAt)
    if (refusal === undefined) {
      if (this.#waitingCount > 0) this.#endTurn()
      return
    }
    if (pending.settled) return // by one of its getters
    this.#wait(pending)
    this.retry()
  }

  /** Admits what waits, in turn, until something is missing. Who lacks room lets other priorities pass: theirs is another. */
  retry(): void {
    if (this.#waitingCount === 0 || this.#closed) return
    this.#starving = undefined
    let passed = 0
    for (let next = this.#next(passed); next !== undefined; next = this.#next(passed)) {
      let refusal = this.#admit(next)
      // What is missing may come before the request for it is seen: one more try after that.
      let asked: Refusal | undefined
      while (refusal !== undefined && refusal !== asked && isWaiting(next)) {
        if (refusal === 'memory') this.#admitHolders()
        asked = refusal
        this.#askFor(refusal, next)
        if (isWaiting(next)) refusal = this.#admit(next)
      }
      if (!isWaiting(next)) this.#endTurn()
      else if (refusal === 'room') passed |= 1 << next.priority
      else return
    }
  }

  /** Whether what waits here waits for memory. */
  get lacksMemory(): boolean {
    return this.starvingSince < Infinity
  }

  /** Flow time at which the task was submitted that waits for memory; Infinity if none does. */
  get starvingSince(): number {
    const starving = this.#starving
    if (starving === undefined || starving.settled || starving.slot >= 0) return Infinity
    return starving.submittedAt
  }

  /** Forgets a task that may wait here: it has a place, or needs none any more. */
  giveUp(pending: Pending): void {
    if (!this.#waiting[pending.priority]!.remove(pending)) return
    if (pending.holdsMemory) this.#holders.delete(pending)
    this.#waitingCount--
    this.#control.paces.addTasks(this.#control.actor, pending.priority, -1)
  }

  /** Has a task that was admitted wait again, before all others of its priority. */
  takeBack(pending: Pending): void {
    this.#waiting[pending.priority]!.addFirst(pending)
    this.#waitingCount++
    this.#control.paces.addTasks(this.#control.actor, pending.priority, 1)
  }

  /** The tasks that wait here; each must be given up before the next is asked for. */
  *drain(): Generator<Pending> {
    for (const waiting of this.#waiting) while (waiting.first !== undefined) yield waiting.first
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#reliefTimer)
  }

  /** Whether somebody who waits comes before a new task. What others need may not be taken away; room is each priority's own. */
  #isBehind(pending: Pending): boolean {
    if (this.#waiting[pending.priority]!.first !== undefined) return true
    if (this.#lacks === 'room') return false
    const next = this.#next(0)
    return next !== undefined && !this.#isBefore(pending, next)
  }

  /** Who of those that wait has the turn, leaving out the priorities in the mask `passed`. */
  #next(passed: number): Pending | undefined {
    let next: Pending | undefined
    for (let priority = this.#waiting.length - 1; priority >= 0; priority--) {
      if ((passed & (1 << priority)) !== 0) continue
      const { first } = this.#waiting[priority]!
      if (first === undefined) continue
      if (next === undefined || this.#isBefore(first, next)) next = first
    }
    return next
  }

  /** Whether the turn is a task's rather than another's of a different priority. */
  #isBefore(one: Pending, other: Pending): boolean {
    const isHigher = one.priority > other.priority
    if (!this.#isTurnOfAge) return isHigher
    const { priorityAgeing } = this.#control.shape
    const ahead =
      ageRank(one.priority, one.submittedAt, priorityAgeing) -
      ageRank(other.priority, other.submittedAt, priorityAgeing)
    return ahead === 0 ? isHigher : ahead < 0
  }

  #endTurn(): void {
    if (this.#isAgeing) this.#isTurnOfAge = !this.#isTurnOfAge
  }

  #wait(pending: Pending): void {
    this.#waiting[pending.priority]!.add(pending)
    if (pending.holdsMemory) this.#holders.add(pending)
    this.#waitingCount++
    this.#control.paces.addTasks(this.#control.actor, pending.priority, 1)
  }

  /** Admits those that hold memory, before their turn: who waits for memory waits for them. */
  #admitHolders(): void {
    const { queues, actor } = this.#control
    for (const pending of this.#holders) {
      let refusal = this.#admit(pending)
      if (refusal === 'room') {
        queues[pending.firstStep]!.waitForRoom(actor)
        refusal = this.#admit(pending)
      }
      // Memory has been asked for, a slot comes with a completion.
      if (refusal === 'slot' || refusal === 'memory') return
    }
  }

  /** Arranges to be woken when what is missing comes. A slot comes with a completion. */
  #askFor(refusal: Refusal, pending: Pending): void {
    const { queues, blocks, actor } = this.#control
    this.#lacks = refusal
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

  /** Whether the task that is being admitted may take memory: nobody else has waited longer for it. */
  readonly #mayAllocate = (): boolean => {
    const { holdsMemory, submittedAt } = this.#admitting!
    return (
      holdsMemory ||
      (this.#events.bodyWaitsSince() >= submittedAt && this.#control.needs.mostInUse() === Infinity)
    )
  }

  /**
   * Says what is missing when the task cannot be admitted; otherwise it waits no more. `now` is the time before its fields are
   * written, if known.
   */
  #admit(pending: Pending, now?: number): Refusal | undefined {
    const { tasks, queues, clock, actor } = this.#control
    const results = this.#results
    const queue = queues[pending.firstStep]!
    const slot = this.#slots.next()
    if (slot === undefined) return 'slot'
    if (!this.#hasRoom(queue, pending.priority)) return 'room'
    const stage = pending.holdsMemory ? STAGE_OF_HOLDERS : 0
    const { missingPages } = pending
    if (missingPages > 0 && !results.mayPlace(missingPages, stage)) return 'memory'
    const generation = nextGeneration(tasks.generation(slot))
    try {
      this.#admitting = pending
      results.begin(slot, generation, stage, this.#mayAllocate)
      writeFields(this.#control, this.#encoder, slot, generation, pending.task, results)
    } catch (error) {
      results.abandon(slot)
      if (error instanceof MemoryExhausted) {
        if (this.#mayAllocate()) pending.missingPages = results.missingPages
        return 'memory'
      }
      return this.#refuse(pending, toError(error))
    } finally {
      this.#admitting = undefined // or it would keep its memory
    }
    if (pending.settled) {
      results.abandon(slot) // one of its fields has aborted it
      return undefined
    }
    this.#slots.take(pending, results.takeLent())
    if (this.#waitingCount > 0) this.giveUp(pending)
    const { taskClass, priority, submittedAt, deadline } = pending
    tasks.describe(slot, taskClass, priority, submittedAt, deadline)
    const isQuick = now !== undefined && results.placedPages === 0
    tasks.setTarget(slot, pending.firstStep, isQuick ? now : clock.now())
    pending.queuedAs = stateWord(QUEUED, actor, generation)
    tasks.set(slot, pending.queuedAs)
    queue.push(slot, generation, priority)
    queue.noteProducer(actor)
    if (this.#control.shape.clients > 1) queue.noteClient(actor, priority)
    if (queue.needsWake()) this.#planWake(pending.firstStep)
    this.#events.onAdmitted()
    return undefined
  }

  /** Clients find room by turns: the last place is for the next one, after who found some last, of those that want it. */
  #hasRoom(queue: StepQueue, priority: number): boolean {
    if (this.#control.shape.clients === 1 || !queue.holdsSeveral) return queue.hasRoom(priority)
    if (queue.hasRoomForTwo(priority)) return true
    return queue.hasRoom(priority) && this.#hasTurn(queue, priority)
  }

  #hasTurn(queue: StepQueue, priority: number): boolean {
    const { paces, shape, actor } = this.#control
    let client = queue.lastClient(priority)
    do client = (client + 1) % shape.clients
    while (client !== actor && paces.tasks(client, priority) === 0)
    return client === actor
  }

  #refuse(pending: Pending, error: Error): undefined {
    this.giveUp(pending)
    if (!pending.settled) this.#events.onRefused(pending, error)
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

const isWaiting = ({ place }: Pending): boolean => place !== undefined
