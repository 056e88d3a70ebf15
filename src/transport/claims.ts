import { ageRank, isAgeing } from './ageing.ts'
import { type Ring, generationOf, slotOf } from './ring.ts'
import {
  CLAIMED,
  FREE,
  QUEUED,
  type TaskTable,
  actorOf,
  generationOfState,
  stateOf,
  stateWord,
} from './task-table.ts'

/** What {@link Claims.claim} returns when the task whose turn it is wants a batch of its own. */
export const SUSPECT_NEXT = -2

/** How one actor claims tasks from the rings of a queue, in the order that ageing.ts tells. */
export class Claims {
  readonly #rings: readonly Ring[]
  readonly #tasks: TaskTable
  readonly #ageing: number
  readonly #isAgeing: boolean
  #isTurnOfAge = true
  /** Who put the last task there that was claimed alone. */
  #lastProducer = 0

  /** @param rings - one per priority, the lowest first. */
  constructor(rings: readonly Ring[], tasks: TaskTable, ageing: number) {
    this.#rings = rings
    this.#tasks = tasks
    this.#ageing = ageing
    this.#isAgeing = isAgeing(rings.length, ageing)
  }

  /**
   * Claims the task whose turn it is for `actor`. Returns its slot, or -1; {@link SUSPECT_NEXT} when it is a suspect and
   * `takesSuspects` is false. The rings are looked at from the highest priority down: a task that was there before one of
   * a higher priority came is not overlooked once that is seen.
   */
  claim(actor: number, takesSuspects: boolean): number {
    if (takesSuspects && this.#rings.length === 1) return this.#claimFirst(actor)
    const isByAge = this.#isAgeing && (this.#isTurnOfAge = !this.#isTurnOfAge)
    const tasks = this.#tasks
    for (;;) {
      let ring: Ring | undefined
      let cell = 0
      let word = 0
      let least = Infinity
      for (let priority = this.#rings.length - 1; priority >= 0; priority--) {
        const other = this.#rings[priority]!
        for (let first = other.peek(); first !== 0; first = other.peek()) {
          const slot = slotOf(first)
          const isSlot = slot < tasks.geometry.slots
          // Read before the word: a word that is still the task's says that this was too.
          const rank =
            isSlot && isByAge ? ageRank(priority, tasks.admittedAt(slot), this.#ageing) : 0
          const seen = isSlot ? tasks.word(slot) : FREE
          if (stateOf(seen) !== QUEUED || generationOfState(seen) !== generationOf(first)) {
            other.remove(first)
            continue
          }
          if (rank < least) {
            ring = other
            cell = first
            word = seen
            least = rank
          }
          break
        }
        if (!isByAge && ring !== undefined) break
      }
      if (ring === undefined) return -1
      const slot = slotOf(cell)
      if (!takesSuspects && tasks.deathsSeen(slot) > 0 && tasks.word(slot) === word)
        return SUSPECT_NEXT
      if (!tasks.move(slot, word, stateWord(CLAIMED, actor, generationOf(cell)))) continue
      ring.remove(cell)
      return slot
    }
  }

  /**
   * Claims whatever is first in the only ring. It swaps before it has looked at the task, since that brings the slot's line
   * from the other core once, ready to be written, and not once for each: all of the word is known but who put the task
   * there, and that is mostly who did so before.
   */
  #claimFirst(actor: number): number {
    const tasks = this.#tasks
    const ring = this.#rings[0]!
    for (let cell = ring.peek(); cell !== 0; cell = ring.peek()) {
      const slot = slotOf(cell)
      const generation = generationOf(cell)
      if (slot < tasks.geometry.slots) {
        const expected = stateWord(QUEUED, this.#lastProducer, generation)
        const seen = tasks.swap(slot, expected, stateWord(CLAIMED, actor, generation))
        if (seen === expected) {
          ring.remove(cell)
          return slot
        }
        if (stateOf(seen) === QUEUED && generationOfState(seen) === generation) {
          this.#lastProducer = actorOf(seen)
          continue
        }
      }
      ring.remove(cell)
    }
    return -1
  }
}
