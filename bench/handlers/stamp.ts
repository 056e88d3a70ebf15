import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'

/** Nanoseconds of the one clock that all processes of a machine share. */
export const now = (): number => Number(process.hrtime.bigint())

/** A task that notes when it passed. */
export class StampTask extends BaseTask {
  enteredNs = 0
  leftNs = 0
}

/** Nothing but two looks at the clock. */
export class StampHandler extends BaseTaskHandler<StampTask> {
  static readonly url = import.meta.url
  static readonly task = StampTask

  handle(tasks: readonly StampTask[]): void {
    const entered = now()
    for (const task of tasks) {
      task.enteredNs = entered
      task.leftNs = now()
    }
  }
}
