import type { WorkerLogger } from './worker/log.ts'
import type { BaseTask, TaskClassOf } from './task.ts'

/** What a handler is told when its worker starts. */
export interface StartContext {
  /** Index of the worker among those of its step, from 0: pins it to a GPU or a core. */
  readonly index: number
  /** Name of the step. */
  readonly step: string
  /** Writes to the flow's `logger` in the parent. */
  readonly logger: WorkerLogger
  /** Aborted when the worker is told to stop. */
  readonly signal: AbortSignal
}

/**
 * Handles the tasks of one step, in worker processes of its own. A subclass says where workers find it
 * (`static readonly url = import.meta.url`) and which tasks it handles (`static readonly task = MyTask`), and is
 * exported from its module.
 *
 * @example
 * ```ts
 * import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'
 *
 * export class SumTask extends BaseTask {
 *   readonly number: number
 *   sum?: number
 *   constructor(number: number) {
 *     super()
 *     this.number = number
 *   }
 * }
 *
 * export class SumHandler extends BaseTaskHandler<SumTask> {
 *   static readonly url = import.meta.url
 *   static readonly task = SumTask
 *   handle(tasks: readonly SumTask[]): void {
 *     for (const task of tasks) task.sum = task.number + 1
 *   }
 * }
 * ```
 */
export abstract class BaseTaskHandler<Task extends BaseTask> {
  /** Runs once in the worker before the first batch: loads the model. `start()` waits for it. */
  onStart?(context: StartContext): void | Promise<void>

  /** Handles a batch: results are set on the tasks. What it throws fails the culprit alone. */
  abstract handle(tasks: readonly Task[]): void | Promise<void>

  /** Runs once in the worker after the last batch of an orderly stop. */
  onStop?(): void | Promise<void>
}

/** A class of handlers, as a flow takes it: it may want less of a task than the flow's tasks have. */
export interface HandlerConstructor<Task extends BaseTask, Args extends readonly unknown[]> {
  new (...args: Args): {
    // A property, not a method: a handler that wants more than it gets does not compile.
    readonly handle: (tasks: readonly Task[]) => void | Promise<void>
  }
  /** Where a worker finds the class: a file URL or an absolute path; `import.meta.url` of its own module. */
  readonly url: string
  /** The class or classes of tasks that it handles. */
  readonly task: TaskClassOf<BaseTask> | readonly TaskClassOf<BaseTask>[]
  /**
   * Whether `handle` changes its input in place, or has side effects: then no batch is handled twice, neither after an
   * error nor after the death of its worker. Default false.
   */
  readonly writesInput?: boolean
}

/** A handler's class, as a step takes it: what its `task` names is what its `handle` wants. */
export interface HandlerClass<
  Task extends BaseTask,
  Args extends readonly unknown[],
> extends HandlerConstructor<Task, Args> {
  readonly task: TaskClassOf<Task> | readonly TaskClassOf<Task>[]
}
