import type { ChildProcess } from 'node:child_process'
import type { BaseTask, Flow } from '../index.ts'
import type { Random } from './random.ts'

/** What a task may do to its handler: throw; end its worker; never return. */
export type Harm = 'throw' | 'die' | 'hang'

/**
 * What a storm needs to know of a service. A module for `--flow` exports these by name, or an object of them as its
 * default.
 *
 * @example
 * ```ts
 * import { Flow, FlowStep } from 'aqueduct-ts'
 * import { SumHandler, SumTask } from './sum.ts'
 *
 * export const flow = () => new Flow([new FlowStep(SumHandler, { nprocs: 2, batchSize: 16 })])
 * export const makeTask = (random: () => number) => new SumTask(Math.floor(random() * 1000))
 * export const verify = (task: SumTask) => task.sum === task.number + 1
 * ```
 */
export interface ChaosService<Task extends BaseTask = BaseTask> {
  /**
   * The flow, not started yet, or what makes one. Of a function two are made: the other is spared, and measured beside
   * the one that is not, so that a machine that has become slower does not count against the flow.
   */
  readonly flow: Flow<Task> | (() => Flow<Task>)
  /** Makes a task. All that is random in it comes from `random`, which is used like `Math.random`. */
  makeTask(random: Random): Task
  /** Looks at a task that was completed. It is wrong when this throws, or returns false. */
  verify?(task: Task): void | boolean
  /** Makes a task that does harm to its handler; undefined where there is none of that kind. */
  makeHarmful?(harm: Harm, random: Random): Task | undefined
  /** Starts a program with a client of the flow; `guest.ts` is what it has to be like. */
  startGuest?(flow: Flow<Task>, seed: number): ChildProcess
  /** Ids of the worker processes that have handled a task: lets the storm see that each works at the end. */
  workersOf?(task: Task): readonly number[]
}
