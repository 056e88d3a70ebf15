import { BaseTaskHandler } from 'aqueduct-ts'
import { DigitTask } from './task.ts'

/** Turns the model's numbers into what the sender gets. */
export class Answer extends BaseTaskHandler<DigitTask> {
  static readonly url = import.meta.url
  static readonly task = DigitTask

  override handle(tasks: readonly DigitTask[]): void {
    for (const task of tasks) {
      const scores = [...task.probabilities!]
      const confidence = Math.max(...scores)
      task.answer = { digit: scores.indexOf(confidence), confidence, scores }
    }
  }
}
