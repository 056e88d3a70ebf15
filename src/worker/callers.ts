import type { Control } from '../transport/control.ts'
import { RUNNING, stateWord } from '../transport/task-table.ts'
import type { Claim } from './batcher.ts'

/** Tells a task in its handler's hands whether anybody still waits for it. */
export class Callers {
  readonly #control: Control

  constructor(control: Control) {
    this.#control = control
  }

  hasGone({ slot, generation }: Claim): boolean {
    const { tasks, clock, actor } = this.#control
    const hasGone = tasks.isCancelled(slot) || tasks.deadline(slot) <= clock.now()
    // Read before the word, which says that the slot was still this task's.
    return hasGone && tasks.word(slot) === stateWord(RUNNING, actor, generation)
  }
}
