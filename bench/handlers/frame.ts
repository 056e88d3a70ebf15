import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'
import { sumOfEnds, sumOfPages } from '../harness/frames.ts'

export class FrameTask extends BaseTask {
  readonly frame: Float32Array
  /** What the last step read. */
  seen = 0
  constructor(frame: Float32Array) {
    super()
    this.frame = frame
  }
}

/** Reads the first and the last element: the hand-over itself, and hardly any memory. */
export class EndsHandler extends BaseTaskHandler<FrameTask> {
  static readonly url = import.meta.url
  static readonly task = FrameTask
  handle(tasks: readonly FrameTask[]): void {
    for (const task of tasks) task.seen = sumOfEnds(task.frame)
  }
}

/** Reads one element of every page, so that each page is mapped in the worker. */
export class PagesHandler extends BaseTaskHandler<FrameTask> {
  static readonly url = import.meta.url
  static readonly task = FrameTask
  handle(tasks: readonly FrameTask[]): void {
    for (const task of tasks) task.seen = sumOfPages(task.frame)
  }
}
