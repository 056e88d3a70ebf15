import { totalmem } from 'node:os'
import { inspect } from 'node:util'
import { flowDefaults } from './defaults.ts'
import { InvalidOptionError } from './errors.ts'
import { MAX_SLOTS } from './transport/ring.ts'
import { MAX_ACTORS } from './transport/task-table.ts'
import {
  type Rule,
  type Rules,
  checkOptions,
  duration,
  finiteDuration,
  flag,
  integer,
  cloneables,
  oneOf,
  signal,
} from './options.ts'

/**
 * Where a flow is in its life. `failed`: a step's workers cannot be kept alive. It goes on starting them, and is `running`
 * again by itself as soon as one is ready; with `onWorkerDeath: 'stop'` it stays as it is.
 */
export type FlowState = 'created' | 'starting' | 'running' | 'stopping' | 'stopped' | 'failed'

/** What a flow emits. */
export interface FlowEvents {
  /** The flow has entered another state. */
  state: [state: FlowState]
}

/**
 * Where a flow tells what happened, and where its workers' records arrive. pino's interface: any pino logger fits, and so
 * does the console. Errors are the `err` of the data; `step`, `handler`, `worker` and `pid` say which worker it is about.
 *
 * @example
 * ```ts
 * import { Flow } from 'aqueduct-ts'
 * import { pino } from 'pino'
 * import { SumHandler } from './sum.ts'
 *
 * export const flow = new Flow([SumHandler], { logger: pino() }) // or `console`
 * ```
 */
export interface FlowLogger {
  debug(data: object, message: string): void
  info(data: object, message: string): void
  warn(data: object, message: string): void
  error(data: object, message: string): void
}

/** Options of a flow. */
export interface FlowOptions {
  /** Cap of the shared memory for payloads, in bytes. Default: a quarter of what the process may use. */
  readonly memory?: number
  /**
   * Tasks that each client (this process, and each that attaches) may have pending at once; more are refused with
   * `QueueFullError`. With several priorities the lowest may have nine tenths of that, so that a flood of it does not shut
   * the higher ones out. Default 16,384, less where many clients may attach.
   */
  readonly maxPending?: number
  /**
   * Whether a task is refused at once, with `QueueFullError`, when so many wait before it that it would not be finished by
   * its deadline. Its `retryAfter` says when to come again. `false` lets it wait, and time out. Default true.
   */
  readonly refuseLate?: boolean
  /**
   * Name under which web processes of the same user on the same machine attach to the flow with a `FlowClient`, and
   * `aqueduct top` and `aqueduct dashboard` watch it. One flow at a time can have it. Default: none, the flow serves its own process only.
   */
  readonly address?: string
  /** How many clients may be attached at once, beside the flow's own process; 0 lets others only watch. Default 8 with an `address`. */
  readonly maxClients?: number
  /** Number of priority classes, 0 (lowest) to n - 1. Default 1. */
  readonly queuePriorities?: number
  /**
   * Head start of a priority class over the next lower one, in milliseconds, so that no task waits for ever. Default
   * 1,000; Infinity is strict: nothing of a lower priority starts while something of a higher one waits for the step.
   *
   * Each worker takes the tasks in front of its step by turns: the first of the highest priority, then the eldest, where
   * one of priority p counts as p × `priorityAgeing` older than it is; and so on. So whatever the load,
   *
   * - a task of priority p waits for at most twice as many tasks as were admitted before it, or up to
   *   (q − p) × `priorityAgeing` after it with a higher priority q, and one for each worker: a permanent overload of high
   *   priority does not starve low priority;
   * - a task waits for at most twice as many tasks as its own and the higher priorities had there before it, and one for
   *   each worker: a backlog of low priority, however long and old, does not shut high priority out.
   *
   * Age counts from `process()`, not anew at each step. Within a priority tasks keep the order in which they came to the
   * step. What waits to be admitted is admitted in the same order.
   */
  readonly priorityAgeing?: number
  /** Binary fields of at least so many bytes lie in shared memory. Default 32 KiB. */
  readonly payloadThreshold?: number
  /**
   * Longest time for which workers and callers look for work before they go to sleep, in milliseconds; 0 never looks. They
   * look as long as that has lately found some, and let others have the core meanwhile. Default 0.5, on one core 0.
   */
  readonly spin?: number
  /**
   * Whether workers and callers measure what they do, for `flow.metrics()`, the steps of `flow.stats()` and the `timings` of
   * tasks. The books of tasks are kept in any case. Default true.
   */
  readonly metrics?: boolean
  /**
   * Whether workers compare the payloads in shared memory before and after each `handle`, to find handlers that write into
   * their input and do not say so (`writesInput`): their batches fail with `InputWrittenError`, which names the handler and
   * the field. It copies every payload: for tests. A caller that writes into a payload while its task is processed is
   * taken for the handler. Default false.
   */
  readonly checkInputs?: boolean
  /**
   * Gets what the workers log with `context.logger`, each error of a handler, and the deaths and restarts of workers.
   * Default: warnings and errors on standard error.
   */
  readonly logger?: FlowLogger
  /**
   * What the death of a worker means. `'restart'` (default): it is replaced, and the tasks that it was handling are run
   * again, by the `retries` of their step.
   * `'stop'`: the flow is `failed`, its other workers are ended, and what is pending fails at once with
   * `FlowStoppedError`, whose `cause` is the `WorkerDiedError`.
   */
  readonly onWorkerDeath?: 'restart' | 'stop'
}

/** Options of `flow.process()`. */
export interface ProcessOptions {
  /** Milliseconds until the task must be finished; Infinity for no limit. Default 5,000. */
  readonly timeout?: number
  /** Cancels the task when it is aborted. */
  readonly signal?: AbortSignal
  /** 0 (lowest, the default) to `queuePriorities` - 1; larger numbers are taken as the highest. */
  readonly priority?: number
}

/** Options of `flow.start()`. */
export interface StartOptions {
  /** Milliseconds until every worker must be ready. Default 300,000. */
  readonly timeout?: number
}

/** Options of `flow.reload()`. */
export interface ReloadOptions<Args extends readonly unknown[] = readonly unknown[]> {
  /** Arguments of the handler's constructor from now on. Default: those that it has. */
  readonly args?: Args
  /** Milliseconds until every new worker must be ready. Default 300,000. */
  readonly timeout?: number
  /** Milliseconds that the present workers may take to finish; then they are ended by force. Default 60,000. */
  readonly drainTimeout?: number
}

/** Options of `flow.stop()`. */
export interface StopOptions {
  /** Finish what is admitted (default), or fail it at once. */
  readonly graceful?: boolean
  /** Milliseconds for all of it; then workers are ended by force. Default 10,000. */
  readonly timeout?: number
}

/** What the name of a flow's socket looks like. */
export const addressRule: Rule = {
  expects: 'a name of 1 to 64 characters',
  accepts: (value) => typeof value === 'string' && value.length > 0 && value.length <= 64,
}

export const loggerRule: Rule = {
  expects: 'an object with the methods debug, info, warn and error (pino’s interface)',
  accepts: (value: unknown) =>
    ['debug', 'info', 'warn', 'error'].every(
      (level) => typeof (value as Record<string, unknown> | null)?.[level] === 'function',
    ),
}

const flowRules = {
  memory: integer(4096),
  maxPending: integer(1, 131_072),
  refuseLate: flag,
  address: addressRule,
  maxClients: integer(0, 255),
  queuePriorities: integer(1, 32),
  priorityAgeing: duration(0),
  payloadThreshold: integer(1),
  spin: finiteDuration(0),
  metrics: flag,
  checkInputs: flag,
  logger: loggerRule,
  onWorkerDeath: oneOf('restart', 'stop'),
} satisfies Rules

export const processRules: Rules = { timeout: duration(0), signal, priority: integer(0) }
export const startRules: Rules = { timeout: finiteDuration(0) }
export const reloadRules: Rules = {
  args: cloneables,
  timeout: finiteDuration(0),
  drainTimeout: finiteDuration(0),
}
export const stopRules: Rules = {
  graceful: flag,
  timeout: finiteDuration(0),
}

const complain = (data: object, message: string): void => {
  const { err } = data as { readonly err?: unknown }
  const details = err === undefined ? '' : `\n${inspect(err)}`
  process.stderr.write(`[aqueduct] ${message}${details}\n`)
}

/** The logger of those who give none. */
export const warnings: FlowLogger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (_, message) => process.stderr.write(`[aqueduct] ${message}\n`),
  error: complain,
}

/** A flow's options, defaults filled in. */
export interface ResolvedFlow extends Required<Omit<FlowOptions, 'address'>> {
  readonly address: string | undefined
}

/** A worker has a number, and its successor another: both are there while a step is reloaded. */
export const NUMBERS_PER_WORKER = 2

/** Throws InvalidOptionError where there are more workers than a flow has numbers for. */
export function checkWorkers(nprocs: readonly number[], maxClients: number): void {
  const workers = nprocs.reduce((sum, each) => sum + each, 0)
  const most = Math.floor((MAX_ACTORS - 1 - maxClients) / NUMBERS_PER_WORKER)
  if (workers <= most) return
  const beside = maxClients === 0 ? '' : ` beside ${maxClients} clients`
  throw new InvalidOptionError(
    'nprocs',
    `the flow: its steps may have ${most} workers in all${beside}, not ${workers}`,
  )
}

/** All options, defaults filled in. Throws InvalidOptionError. */
export function resolveOptions(options: FlowOptions): ResolvedFlow {
  checkOptions('the flow', options, flowRules)
  const { address } = options
  if (address === undefined && options.maxClients !== undefined) {
    throw new InvalidOptionError(
      'maxClients',
      "the flow: 'maxClients' needs an 'address' at which the clients attach",
    )
  }
  const maxClients = address === undefined ? 0 : (options.maxClients ?? flowDefaults.maxClients)
  const mostPending = Math.floor(MAX_SLOTS / (1 + maxClients))
  if (options.maxPending !== undefined && options.maxPending > mostPending) {
    throw new InvalidOptionError(
      'maxPending',
      `the flow: with ${maxClients} clients beside its own process each may have ${mostPending} tasks pending at most, not ${options.maxPending}`,
    )
  }
  return {
    address,
    maxClients,
    memory: options.memory ?? defaultMemory(),
    maxPending: options.maxPending ?? Math.min(flowDefaults.maxPending, mostPending),
    refuseLate: options.refuseLate ?? flowDefaults.refuseLate,
    queuePriorities: options.queuePriorities ?? flowDefaults.priorities,
    priorityAgeing: options.priorityAgeing ?? flowDefaults.priorityAgeing,
    payloadThreshold: options.payloadThreshold ?? flowDefaults.payloadThreshold,
    spin: options.spin ?? flowDefaults.spin,
    metrics: options.metrics ?? flowDefaults.metrics,
    checkInputs: options.checkInputs ?? flowDefaults.checkInputs,
    logger: options.logger ?? warnings,
    onWorkerDeath: options.onWorkerDeath ?? 'restart',
  }
}

function defaultMemory(): number {
  const constrained = process.constrainedMemory()
  const available = constrained > 0 && constrained < totalmem() ? constrained : totalmem()
  return Math.floor(available * flowDefaults.memoryShare)
}
