import type { Client } from './client/client.ts'
import type { SubmitOptions } from './client/pending.ts'
import { flowDefaults } from './defaults.ts'
import { areTasksWatched, watchProcess } from './diagnostics.ts'
import { InvalidTaskError, NotRunningError, toError } from './errors.ts'
import { type FlowState, type ProcessOptions, processRules } from './flow-options.ts'
import { checkOptions } from './options.ts'
import { BaseTask } from './task.ts'

export const NO_OPTIONS: ProcessOptions = Object.freeze({})

/** The classes of tasks that a flow handles, with their numbers. */
export type TaskClasses = ReadonlyMap<unknown, number>

/** The same; the class asked for last is found without a search. */
export class NumberedClasses extends Map<unknown, number> {
  #last: unknown
  #lastNumber: number | undefined

  override get(taskClass: unknown): number | undefined {
    if (taskClass !== this.#last || taskClass === undefined) {
      this.#lastNumber = super.get(taskClass)
      this.#last = taskClass
    }
    return this.#lastNumber
  }

  override set(taskClass: unknown, number: number): this {
    this.#last = undefined
    return super.set(taskClass, number)
  }
}

/** What `process()` does, wherever the flow runs: checks the task and hands it to the client. */
export function processTask<Task extends BaseTask>(
  flow: object,
  client: Client | undefined,
  state: FlowState,
  taskClasses: TaskClasses,
  task: Task,
  options: ProcessOptions,
): Promise<Task> {
  if (!areTasksWatched()) return submitTask(client, state, taskClasses, task, options)
  return watchProcess({ flow, task, options }, () =>
    submitTask(client, state, taskClasses, task, options),
  )
}

function submitTask<Task extends BaseTask>(
  client: Client | undefined,
  state: FlowState,
  taskClasses: TaskClasses,
  task: Task,
  options: ProcessOptions,
): Promise<Task> {
  if (state !== 'running' || client === undefined) return Promise.reject(new NotRunningError(state))
  if (options !== NO_OPTIONS) {
    try {
      checkOptions('process()', options, processRules)
    } catch (error) {
      return Promise.reject(toError(error))
    }
  }
  const taskClass = taskClasses.get(task?.constructor)
  if (taskClass === undefined) return Promise.reject(unknownTask(task, taskClasses))
  if (!BaseTask.begin(task)) {
    return Promise.reject(
      new InvalidTaskError(
        'this task is being processed already, or a body is still arriving in it (await its shareFrom()); make one task object per call',
        'AQ_TASK_IN_FLIGHT',
      ),
    )
  }
  const submitOptions =
    options === NO_OPTIONS ? submitDefaults : toSubmitOptions(options, client.priorities)
  // The client settles with the task that it was given.
  return client.submit(task, taskClass, submitOptions) as Promise<Task>
}

const toSubmitOptions = (options: ProcessOptions, priorities: number): SubmitOptions => ({
  timeout: options.timeout ?? flowDefaults.processTimeout,
  priority: Math.min(options.priority ?? 0, priorities - 1),
  signal: options.signal,
})

const submitDefaults = toSubmitOptions(NO_OPTIONS, 1)

function unknownTask(task: unknown, taskClasses: TaskClasses): InvalidTaskError {
  const given =
    typeof task === 'object' && task !== null
      ? `a ${task.constructor?.name ?? 'object'}`
      : String(task)
  const known = [...taskClasses.keys()]
    .map((taskClass) => (taskClass as { name: string }).name)
    .join(', ')
  return new InvalidTaskError(
    `the flow handles tasks of ${known}, not ${given}; a handler names every class of its tasks in its \`task\``,
  )
}
