import type { Control } from '../transport/control.ts'
import {
  CLAIMED,
  FREE,
  QUEUED,
  RUNNING,
  actorOf,
  generationOfState,
  stateOf,
  stateWord,
} from '../transport/task-table.ts'
import type { Pending } from './pending.ts'
import type { Results } from './results.ts'

/** The client's own part of the slot table, and who has which slot. */
export class Slots {
  readonly #control: Control
  readonly #results: Results
  readonly #first: number
  /** The first slot that no client of this number has used yet. */
  #unused: number
  /** Used as a stack: the slot freed last is the warmest. */
  readonly #free: number[]
  readonly #holders: (Pending | undefined)[]
  readonly #lent = new Map<number, readonly number[]>()

  constructor(control: Control, results: Results) {
    const { slotsPerClient } = control.shape
    const first = control.actor * slotsPerClient
    this.#control = control
    this.#results = results
    this.#first = first
    this.#unused = control.usedSlots.endOf(control.actor)
    this.#free = Array.from({ length: slotsPerClient }, (_, i) => first + slotsPerClient - 1 - i)
    this.#holders = Array.from({ length: slotsPerClient })
  }

  /** The slot that {@link take} will give, or undefined when all are in use. */
  next(): number | undefined {
    const slot = this.#free.at(-1)
    if (slot !== undefined && slot >= this.#unused) {
      this.#control.usedSlots.use(this.#control.actor, slot)
      this.#unused = slot + 1
    }
    return slot
  }

  /** Takes the next slot for `pending`, whose payloads borrow the blocks `lent` from the program. */
  take(pending: Pending, lent: readonly number[]): void {
    const slot = this.#free.pop()
    if (slot === undefined) return
    pending.slot = slot
    this.#holders[slot - this.#first] = pending
    if (lent.length > 0) this.#lent.set(slot, lent)
  }

  holder(slot: number): Pending | undefined {
    return this.#holders[slot - this.#first]
  }

  owns(slot: number): boolean {
    return slot >= this.#first && slot < this.#first + this.#holders.length
  }

  /** Takes a slot back from a task that no worker has started; otherwise tells the worker that its caller has gone. */
  withdraw(slot: number): void {
    const { tasks, actor } = this.#control
    for (;;) {
      const word = tasks.word(slot)
      const state = stateOf(word)
      if (state !== QUEUED && state !== CLAIMED) {
        tasks.cancel(slot)
        // It may have been queued just before its worker, or who judges that worker's death, could see that.
        if (tasks.word(slot) !== word) continue
        // Its worker may be asleep, and wait for memory or room to hand it over; or its handler listens for this.
        if (state === RUNNING) this.#control.bells.ring(actorOf(word))
        return
      }
      const step = tasks.target(slot)
      const generation = generationOfState(word)
      if (!tasks.move(slot, word, stateWord(FREE, actor, generation))) continue
      this.release(slot, generation)
      this.#control.noteWithdrawal(step)
      return
    }
  }

  /** Takes back a task that nobody has touched since it was admitted, and the memory that it took. False if there is none. */
  recall(pending: Pending): boolean {
    const { tasks, actor } = this.#control
    const { slot, queuedAs } = pending
    if (slot < 0 || tasks.firstBlock(slot) < 0) return false
    const generation = generationOfState(queuedAs)
    if (!tasks.move(slot, queuedAs, stateWord(FREE, actor, generation))) return false
    this.release(slot, generation)
    pending.slot = -1
    this.#control.noteWithdrawal(pending.firstStep)
    return true
  }

  /** Makes a slot that this client alone uses ready for the next task. */
  release(slot: number, generation: number): void {
    const { tasks, actor } = this.#control
    this.#results.releaseSlot(slot)
    if (this.#lent.size > 0) this.#giveBack(slot)
    this.#holders[slot - this.#first] = undefined
    tasks.set(slot, stateWord(FREE, actor, generation))
    this.#free.push(slot)
  }

  #giveBack(slot: number): void {
    const lent = this.#lent.get(slot)
    if (lent === undefined) return
    this.#lent.delete(slot)
    this.#results.giveBack(lent)
  }

  /** The client has ended: what its tasks borrowed is the program's own again. */
  forgetLent(): void {
    for (const blocks of this.#lent.values()) this.#results.giveBack(blocks)
    this.#lent.clear()
  }

  /** The tasks that hold a slot and whose callers wait. */
  *unsettled(): Generator<Pending> {
    for (const holder of this.#holders) if (holder !== undefined && !holder.settled) yield holder
  }
}
