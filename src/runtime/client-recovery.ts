import { ownedByActor, ownedBySlot } from '../memory/block-table.ts'
import { ADMITTED, CANCELLED, COMPLETED, Counters, FAILED, TIMED_OUT } from '../metrics/counters.ts'
import { type Control, actorCount } from '../transport/control.ts'
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

/**
 * Takes back what a client left behind, however it went, before its number is used again. The supervisor's process runs
 * it once the system has confirmed that the client is gone:
 *
 * - QUEUED and CLAIMED tasks are withdrawn, as the client itself would have done;
 * - RUNNING ones are told that nobody waits. Their worker goes on using the slot, and what the client held, until it
 *   has finished; {@link ClientRecovery.look} is called again when it rings the client's bell;
 * - DONE ones are collected unread;
 * - blocks of free slots are released, those of a client that died while it placed or collected a task too;
 * - blocks that the client's program held are released last, once no worker can look into them any more.
 */
export class ClientRecovery {
  readonly #control: Control
  readonly #client: number

  constructor(control: Control, client: number) {
    this.#control = control
    this.#client = client
    control.blocks.recover(client)
    control.paces.clear(client)
    const counters = new Counters(control.words, control.metricsStart(client))
    const settled = [COMPLETED, FAILED, TIMED_OUT, CANCELLED]
      .map((outcome) => counters.get(outcome))
      .reduce((sum, count) => sum + count)
    counters.add(CANCELLED, counters.get(ADMITTED) - settled)
    // Whoever the client was about to ring is rung, and looks again for the room that it may have made.
    for (const queue of control.queues) queue.noteStale()
    for (let other = 0; other < actorCount(control.shape); other++) control.bells.ringAnyway(other)
  }

  /** Takes back what can be taken now; true once nothing is left. The client's bell rings when there is more. */
  look(): boolean {
    const control = this.#control
    control.bells.arm(this.#client)
    const ownFree = new Set<number>()
    let isDone = true
    for (const slot of control.usedSlots.of(this.#client)) {
      if (this.#free(slot)) ownFree.add(ownedBySlot(slot))
      else isDone = false
    }
    if (isDone) ownFree.add(ownedByActor(this.#client))
    control.blocks.forEachOwned((block, owner) => {
      if (ownFree.has(owner)) control.blocks.release(block)
    })
    control.wakeMemoryWaiters()
    if (!isDone) return false
    const done = control.completions[this.#client]!
    for (let cell = done.peek(); cell !== 0; cell = done.peek()) done.remove(cell)
    control.bells.disarm(this.#client)
    return true
  }

  /** Whether the slot is free, or could be freed. */
  #free(slot: number): boolean {
    const { tasks, actor } = this.#control
    for (;;) {
      const word = tasks.word(slot)
      const state = stateOf(word)
      if (state === FREE) {
        // A client that dies while it places a task leaves a list there, of blocks that will be another's.
        tasks.setFirstBlock(slot, -1)
        return true
      }
      if (state === RUNNING) {
        tasks.cancel(slot)
        // It may have been handed over just before the worker could see that.
        if (tasks.word(slot) !== word) continue
        // A worker may sleep until there is memory for its result: the memory that is taken back last.
        this.#control.bells.ring(actorOf(word))
        return false
      }
      const step = tasks.target(slot)
      if (!tasks.move(slot, word, stateWord(FREE, actor, generationOfState(word)))) continue
      tasks.setFirstBlock(slot, -1)
      if (state === QUEUED || state === CLAIMED) this.#control.noteWithdrawal(step)
      return true
    }
  }
}
