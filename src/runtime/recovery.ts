import { ownedByActor, ownedBySlot } from '../memory/block-table.ts'
import { type Control, actorCount, workerActor } from '../transport/control.ts'
import { cellOf } from '../transport/ring.ts'
import {
  CLAIMED,
  DONE,
  OUTCOME_CANCELLED,
  QUEUED,
  RUNNING,
  actorOf,
  generationOfState,
  nextGeneration,
  stateOf,
  stateWord,
} from '../transport/task-table.ts'
import { type Inquest, judge } from './inquest.ts'

/**
 * Puts right what a dead worker left behind. The supervisor runs it once the system has confirmed the death, and before
 * the worker's number is used again. It looks at every slot that was ever used, for what the dead worker held or had just published:
 *
 * - CLAIMED: never started, goes back to its queue;
 * - RUNNING: goes back to be run alone, or is done, as `inquest` has it;
 * - QUEUED or DONE by its hand: if the death came before the cell was pushed, the cell is pushed now.
 *
 * Blocks follow their tasks: those of the last hand-over are linked into their slot's list again, those that the worker
 * had placed since are released, and those on their way out too.
 */
export function recoverWorker(
  control: Control,
  step: number,
  worker: number,
  inquest: Inquest,
): void {
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
          putBack(control, step, slot, generation, tasks.deathsSeen(slot))
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
    const generation = generationOfState(tasks.word(slot))
    const verdict = judge(control, step, slot, running.length, inquest)
    if (verdict.runsAgain) putBack(control, step, slot, generation, verdict.deathsSeen)
    else finish(control, slot, generation, verdict.outcome, inquest.death)
  }
  for (const queue of queues) {
    queue.endGathering(actor)
    queue.noteStale()
  }
  queues[step]!.wake(worker)
  // Whatever the dead worker had been told, or was about to tell others, is told again.
  for (let other = 0; other < actorCount(shape); other++) control.bells.ringAnyway(other)
}

/**
 * Queues a task again that nobody else can change. It gets a generation of its own, of the same half: somebody may have
 * seen it claimed, and be about to remove its cell as stale; the new cell must not be the one that is hit. Its fields are
 * those of the last hand-over.
 */
function putBack(
  control: Control,
  step: number,
  slot: number,
  generation: number,
  deathsSeen: number,
): void {
  const { tasks, blocks, queues } = control
  const again = nextGeneration(nextGeneration(generation))
  for (let block = tasks.firstBlock(slot); block >= 0; block = blocks.next(block))
    if (blocks.isMarked(block, generation)) blocks.mark(block, again)
  tasks.setDeathsSeen(slot, step, deathsSeen)
  tasks.setWaitsForMemory(slot, false)
  const queued = stateWord(QUEUED, control.actor, again)
  tasks.setInOrder(slot, queued)
  // A caller that went until now saw a task that was running, and left it to who has it; from now on it takes it back.
  if (!tasks.isCancelled(slot)) queues[step]!.push(slot, again, tasks.priority(slot))
  else if (tasks.move(slot, queued, stateWord(RUNNING, control.actor, again)))
    finish(control, slot, again, OUTCOME_CANCELLED, 0)
}

/** Settles a task that nobody else can change. */
function finish(
  control: Control,
  slot: number,
  generation: number,
  outcome: number,
  death: number,
): void {
  const { tasks } = control
  const done = nextGeneration(generation)
  tasks.setOutcome(slot, outcome, death)
  tasks.set(slot, stateWord(DONE, control.actor, done))
  complete(control, slot, done)
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
 * Rebuilds the block lists of slots that the dead worker was running, which may have died while it changed them: with
 * the blocks of the last hand-over, those on their way out included. What was placed for a hand-over that never came is
 * released, and so is what was on its way out after one that did.
 */
function relink(control: Control, actor: number, running: readonly number[]): void {
  const { tasks, blocks } = control
  const lists = new Map(running.map((slot) => [ownedBySlot(slot), { slot, first: -1 }]))
  const orphans: number[] = []
  blocks.forEachOwned((block, owner) => {
    const isLeaving = owner === ownedByActor(actor)
    const home = isLeaving ? ownedBySlot(blocks.next(block)) : owner
    const list = lists.get(home)
    if (list !== undefined && blocks.isMarked(block, generationOfState(tasks.word(list.slot)))) {
      blocks.transfer(block, home)
      blocks.setNext(block, list.first)
      list.first = block
    } else if (isLeaving || list !== undefined) {
      orphans.push(block)
    }
  })
  for (const { slot, first } of lists.values()) tasks.setFirstBlock(slot, first)
  for (const block of orphans) blocks.release(block)
  control.wakeMemoryWaiters()
}
