import { stepDefaults } from './defaults.ts'
import { InvalidHandlerError, InvalidOptionError } from './errors.ts'
import type { HandlerClass, HandlerConstructor } from './handler.ts'
import {
  bytes,
  checkOptions,
  cloneables,
  duration,
  integer,
  list,
  object,
  oneOf,
  text,
} from './options.ts'
import type { ResourceLimits } from './runtime/worker-handle.ts'
import type { BaseTask, TaskClassOf } from './task.ts'

/** Names of the boolean methods (without arguments) of a task. */
export type ConditionName<Task> = {
  [K in keyof Task]-?: Task[K] extends () => boolean ? K : never
}[keyof Task] &
  string

/** Options of a {@link FlowStep}. Durations are milliseconds. */
export interface FlowStepOptions<Task extends BaseTask> {
  /** Name of the step in errors, logs and metrics. Default: the name of the handler's class. */
  readonly name?: string
  /** Workers of the step. Default 1. */
  readonly nprocs?: number
  /** Most tasks that `handle` gets at once. Default 1. */
  readonly batchSize?: number
  /** How long a batch waits to become full, counted from its first task. Default 0: it takes what is there. */
  readonly batchTimeout?: number
  /**
   * What becomes of a batch whose handler throws. `'split'` (default): it is halved and handled again until the culprit
   * stands alone, within 2·log₂(n) + 1 further calls. `'fail'`: all of it fails at once, for handlers whose calls cost too
   * much to be repeated. A handler that writes into its input is never called again.
   */
  readonly onBatchError?: 'split' | 'fail'
  /** A boolean method of the task; tasks for which it is false skip the step. */
  readonly handleCondition?: ConditionName<Task>
  /** Tasks that may wait in front of the step, per priority. Default: three batches, at least 20. */
  readonly queueSize?: number
  /** Workers are processes (default on Linux) or threads. */
  readonly isolation?: 'process' | 'thread'
  /** Batches that an async handler may have in its hands at once, per worker. Default 1. */
  readonly concurrency?: number
  /**
   * Milliseconds that `handle` may take. A worker that is busy with one batch for longer is ended by force and replaced; the
   * tasks of the batch are run again, each alone, and one that takes too long alone too fails with `HandlerTimeoutError`.
   * Default: no limit. Thread workers that are stuck in native code cannot be ended.
   */
  readonly handleTimeout?: number
  /**
   * Bytes of memory of its own (models and leaks, not the flow's shared memory) beyond which a worker is replaced between
   * batches: another becomes ready beside it, then it ends. No task fails. Looked at after batches, once a second at most. A
   * thread can only tell its JavaScript heap and buffers. Default: no limit.
   */
  readonly maxMemory?: number
  /**
   * How often a task is run again, each time alone, when the worker that was handling it has died; one whose worker dies in
   * the last of these runs too fails with `PoisonedTaskError`. Default 1. With 0 it fails with `WorkerDiedError` at once, as
   * do the tasks of a handler that says `static readonly writesInput = true`. Tasks that were only gathered always go back.
   */
  readonly retries?: number
  /** Flags of Node for the workers. Default: those of this process without debuggers and watchers. */
  readonly execArgv?: readonly string[]
  /** Added to the workers' environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Heap limits of the workers. */
  readonly resourceLimits?: ResourceLimits
}

type ArgsOption<Args extends readonly unknown[]> = [] extends Args
  ? { readonly args?: Args }
  : {
      /** Arguments of the handler's constructor: what `structuredClone()` takes. */ readonly args: Args
    }

type StepArguments<Task extends BaseTask, Args extends readonly unknown[]> = [] extends Args
  ? [options?: FlowStepOptions<Task> & ArgsOption<Args>]
  : [options: FlowStepOptions<Task> & ArgsOption<Args>]

const rules = {
  name: text,
  nprocs: integer(1, 256),
  batchSize: integer(1, 65_536),
  batchTimeout: duration(0),
  onBatchError: oneOf('split', 'fail'),
  handleCondition: text,
  queueSize: integer(1),
  isolation: oneOf('process', 'thread'),
  concurrency: integer(1, 1024),
  handleTimeout: duration(1),
  maxMemory: bytes,
  retries: integer(0, 100),
  execArgv: list,
  env: object,
  resourceLimits: object,
  args: cloneables,
} as const

/** What a step resolves its options to. */
export interface ResolvedStep {
  readonly name: string
  readonly nprocs: number
  readonly batchSize: number
  readonly batchTimeout: number
  readonly onBatchError: 'split' | 'fail'
  readonly handleCondition: string | undefined
  readonly queueSize: number
  readonly isolation: 'process' | 'thread'
  readonly concurrency: number
  readonly handleTimeout: number
  readonly maxMemory: number
  readonly retries: number
  readonly execArgv: readonly string[] | undefined
  readonly env: Readonly<Record<string, string>> | undefined
  readonly resourceLimits: ResourceLimits | undefined
  readonly args: readonly unknown[]
}

/**
 * One step of a flow: a handler's class and how its workers run.
 *
 * @example
 * ```ts
 * import { FlowStep } from 'aqueduct-ts'
 * import { SumHandler } from './sum.ts'
 *
 * const step = new FlowStep(SumHandler, { nprocs: 2, batchSize: 16 })
 * console.log(step.options.queueSize) // 48: three batches
 * ```
 */
export class FlowStep<in Task extends BaseTask, Args extends readonly unknown[] = []> {
  readonly handler: HandlerConstructor<never, never>
  /** All options, defaults filled in. */
  readonly options: ResolvedStep

  /** @throws InvalidOptionError, InvalidHandlerError */
  constructor(handler: HandlerClass<Task, Args>, ...rest: StepArguments<Task, Args>) {
    checkHandler(handler)
    const given: FlowStepOptions<Task> & { readonly args?: readonly unknown[] } = rest[0] ?? {}
    checkOptions(`step ${handler.name}`, given, rules)
    const batchSize = given.batchSize ?? stepDefaults.batchSize
    const condition = given.handleCondition
    if (condition !== undefined) {
      for (const { name, prototype } of taskClassesOf(handler)) {
        if (typeof (prototype as Record<string, unknown>)[condition] === 'function') continue
        throw new InvalidOptionError(
          'handleCondition',
          `step ${handler.name}: 'handleCondition' must be the name of a method of ${name}, not '${condition}'`,
        )
      }
    }
    this.handler = handler
    this.options = Object.freeze({
      name: given.name ?? handler.name,
      nprocs: given.nprocs ?? stepDefaults.nprocs,
      batchSize,
      batchTimeout: given.batchTimeout ?? stepDefaults.batchTimeout,
      onBatchError: given.onBatchError ?? stepDefaults.onBatchError,
      handleCondition: condition,
      queueSize:
        given.queueSize ??
        Math.max(stepDefaults.queueBatches * batchSize, stepDefaults.minQueueSize),
      isolation: given.isolation ?? stepDefaults.isolation,
      concurrency: given.concurrency ?? stepDefaults.concurrency,
      handleTimeout: given.handleTimeout ?? stepDefaults.handleTimeout,
      maxMemory: given.maxMemory ?? stepDefaults.maxMemory,
      retries: given.retries ?? stepDefaults.retries,
      execArgv: given.execArgv,
      env: given.env,
      resourceLimits: given.resourceLimits,
      args: given.args ?? [],
    })
  }
}

/** The classes that a handler names in its `task`. */
export function taskClassesOf(
  handler: Pick<HandlerConstructor<never, never>, 'task'>,
): readonly TaskClassOf<BaseTask>[] {
  return typeof handler.task === 'function' ? [handler.task] : handler.task
}

function checkHandler(handler: unknown): void {
  if (typeof handler !== 'function') {
    throw new InvalidHandlerError(
      typeof handler,
      `a step takes the class of a handler, not ${typeof handler === 'object' ? 'an instance of one' : `a value of type ${typeof handler}`}`,
    )
  }
  const { name } = handler
  const statics = handler as {
    readonly url?: unknown
    readonly task?: unknown
    readonly prototype: { readonly handle?: unknown }
  }
  if (name === '')
    throw new InvalidHandlerError(
      name,
      'the class of a handler needs a name: workers find it by that',
    )
  if (typeof statics.prototype?.handle !== 'function') {
    throw new InvalidHandlerError(
      name,
      `${name} has no method handle(tasks); a handler extends BaseTaskHandler`,
    )
  }
  if (!Object.hasOwn(handler, 'url') || typeof statics.url !== 'string') {
    throw new InvalidHandlerError(
      name,
      `${name} does not say where workers find it: give it \`static readonly url = import.meta.url\` of its own (an inherited one names another module)`,
    )
  }
  const taskClasses: readonly unknown[] = Array.isArray(statics.task)
    ? statics.task
    : [statics.task]
  if (
    taskClasses.length === 0 ||
    taskClasses.some((taskClass) => typeof taskClass !== 'function')
  ) {
    throw new InvalidHandlerError(
      name,
      `${name} does not say which tasks it handles: give it \`static readonly task = MyTask\``,
    )
  }
}
