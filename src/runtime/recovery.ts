import { ownedByActor, ownedBySlot } from '../memory/block-table.ts'
import { type Control, actorCount, workerActor } from '../transport/control.ts'
import { cellOf } from '../transport/ring.ts'
import {
  CLAIMED,
  DONE,
  OUTCOME_WORKER_DIED,
  QUEUED,
  RUNNING,
  actorOf,
  generationOfState,
  nextGeneration,
  stateOf,
  stateWord,
} from '../transport/task-table.ts'

/**
 * Puts right what a dead worker left behind. The supervisor runs it once the system has confirmed the death, and before
 * the worker's number is used again. It looks at every slot that was ever used, for what the dead worker held or had just published:
 *
 * - CLAIMED: never started, goes back to its queue;
 * - RUNNING: done, with the death as its outcome (`death` says which);
 * - QUEUED or DONE by its hand: if the death came before the cell was pushed, the cell is pushed now.
 *
 * Blocks follow their tasks: those of a slot are linked into its list again, those on their way out are released.
 */
export function recoverWorker(control: Control, step: number, worker: number, death: number): void {
  const { shape, tasks, blocks, queues } = control
  const actor = workerActor(shape, step, worker)
  blocks.recover(actor)
  control.paces.clear(actor)
  control.needs.endWant(actor)
  const running: number[] = []
  for (const slot of control.usedSlots) {
    const word = tasks.word(slot)
    if (actorOf(word) !== actor) continue
    const generation = generationOfState(word)
    switch (stateOf(word)) {
      case CLAIMED:
        if (tasks.move(slot, word, stateWord(RUNNING, control.actor, generation)))
          putBack(control, step, slot, generation)
        break
      case RUNNING:
        running.push(slot)
        break
      case QUEUED: {
        const queue = control.queues[tasks.target(slot)]!
        const priority = tasks.priority(slot)
        if (!queue.holds(slot, generation, priority)) queue.push(slot, generation, priority)
        break
      }
      case DONE:
        complete(control, slot, generation)
        break
    }
  }
  relink(control, actor, running)
  for (const slot of running) {
    const generation = nextGeneration(generationOfState(tasks.word(slot)))
    tasks.setOutcome(slot, OUTCOME_WORKER_DIED, death)
    tasks.set(slot, stateWord(DONE, control.actor, generation))
    complete(control, slot, generation)
  }
  for (const queue of queues) queue.endGathering(actor)
  queues[step]!.wake(worker)
  // Whatever the dead worker had been told, or was about to tell others, is told again.
  for (let other = 0; other < actorCount(shape); other++) control.bells.ringAnyway(other)
}

/**
 * Queues a task again that was claimed and not started. It gets a generation of its own, of the same half: somebody may
 * have seen it claimed, and be about to remove its cell as stale; the new cell must not be the one that is hit.
 */
function putBack(control: Control, step: number, slot: number, generation: number): void {
  const { tasks, blocks, queues } = control
  const again = nextGeneration(nextGeneration(generation))
  for (let block = tasks.firstBlock(slot); block >= 0; block = blocks.next(block))
    if (blocks.isMarked(block, generation)) blocks.mark(block, again)
  tasks.set(slot, stateWord(QUEUED, control.actor, again))
  queues[step]!.push(slot, again, tasks.priority(slot))
}

function complete(control: Control, slot: number, generation: number): void {
  const completions = control.completions[control.clientOf(slot)]!
  const wanted = cellOf(slot, generation)
  let found = false
  completions.forEach((cell) => {
    found = cell === wanted
    return !found
  })
  if (!found) completions.push(wanted)
}

/**
 * Rebuilds the block lists of slots that the dead worker was running: it may have died while it changed them. Blocks on
 * their way out go back to a task that never got to its hand-over, and are released when it did.
 */
function relink(control: Control, actor: number, running: readonly number[]): void {
  const { tasks, blocks } = control
  const lists = new Map(running.map((slot) => [ownedBySlot(slot), -1]))
  const orphans: number[] = []
  blocks.forEachOwned((block, owner) => {
    const home = owner === ownedByActor(actor) ? ownedBySlot(blocks.next(block)) : owner
    const first = lists.get(home)
    if (first !== undefined) {
      blocks.transfer(block, home)
      blocks.setNext(block, first)
      lists.set(home, block)
    } else if (owner === ownedByActor(actor)) {
      orphans.push(block)
    }
  })
  for (const slot of running) tasks.setFirstBlock(slot, lists.get(ownedBySlot(slot)) ?? -1)
  for (const block of orphans) blocks.release(block)
  control.wakeMemoryWaiters()
}
