import { TaskCancelledError, TaskTimeoutError } from '../errors.ts'
import type { Control } from '../transport/control.ts'
import { RUNNING, stateWord } from '../transport/task-table.ts'
import type { Claim } from './batcher.ts'

/** Tells whether anybody still waits for a task that this worker is running. */
export class Callers {
  readonly #control: Control

  constructor(control: Control) {
    this.#control = control
  }

  hasGone({ slot, generation }: Claim, now: number = this.#control.clock.now()): boolean {
    const { tasks, actor } = this.#control
    const hasGone = tasks.isCancelled(slot) || tasks.deadline(slot) <= now
    // Read before the word, which says that the slot was still this task's.
    return hasGone && tasks.word(slot) === stateWord(RUNNING, actor, generation)
  }

  /** In flow time. */
  deadlineOf({ slot }: Claim): number {
    return this.#control.tasks.deadline(slot)
  }

  /** Why nobody waits for a task any more. The caller's own reason stays in its process. */
  reasonOf({ slot }: Claim, now: number): Error {
    const { tasks } = this.#control
    const deadline = tasks.deadline(slot)
    if (deadline <= now) return new TaskTimeoutError(deadline - tasks.admittedAt(slot))
    return new TaskCancelledError(undefined, 'nobody waits for the task any more')
  }
}
