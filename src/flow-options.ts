import { totalmem } from 'node:os'
import { flowDefaults } from './defaults.ts'
import {
  type Rules,
  checkOptions,
  duration,
  finiteDuration,
  flag,
  integer,
  object,
  signal,
} from './options.ts'

/** Where a flow is in its life. `failed`: a step's workers could not be kept alive. */
export type FlowState = 'created' | 'starting' | 'running' | 'stopping' | 'stopped' | 'failed'

/** What a flow emits. */
export interface FlowEvents {
  /** The flow has entered another state. */
  state: [state: FlowState]
}

/** Where a flow tells what happened. pino's interface; the console's methods fit as well. */
export interface FlowLogger {
  info(data: object, message: string): void
  warn(data: object, message: string): void
  error(data: object, message: string): void
}

/** Options of a a flow. */
export interface FlowOptions {
  /** Cap of the shared memory for payloads, in bytes. Default: a quarter of what the process may use. */
  readonly memory?: number
  /** Tasks that may be pending at once; more are refused with `QueueFullError`. Default 16,384. */
  readonly maxPending?: number
  /** Number of priority classes, 0 (lowest) to n - 1. Default 1. */
  readonly queuePriorities?: number
  /** Binary fields of at least so many bytes lie in shared memory. Default 32 KiB. */
  readonly payloadThreshold?: number
  /** Longest time to look for work before going to sleep, in milliseconds; 0 never looks. Default 0.05. */
  readonly spin?: number
  /**
   * Whether workers and callers measure what they do, for `flow.metrics()`, the steps of `flow.stats()` and the `timings` of
   * tasks. The books of tasks are kept in any case. Default true.
   */
  readonly metrics?: boolean
  /** Where the flow tells of deaths and restarts. Default: warnings on standard error. */
  readonly logger?: FlowLogger
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

/** Options of `flow.stop()`. */
export interface StopOptions {
  /** Finish what is admitted (default), or fail it at once. */
  readonly graceful?: boolean
  /** Milliseconds for all of it; then workers are ended by force. Default 10,000. */
  readonly timeout?: number
}

const flowRules = {
  memory: integer(4096),
  maxPending: integer(1, 131_072),
  queuePriorities: integer(1, 32),
  payloadThreshold: integer(1),
  spin: finiteDuration(0),
  metrics: flag,
  logger: object,
} as const

export const processRules: Rules = { timeout: duration(0), signal, priority: integer(0) }
export const startRules: Rules = { timeout: finiteDuration(0) }
export const stopRules: Rules = {
  graceful: flag,
  timeout: finiteDuration(0),
}

const warnings: FlowLogger = {
  info: () => undefined,
  warn: (_, message) => process.stderr.write(`[aqueduct] ${message}\n`),
  error: (_, message) => process.stderr.write(`[aqueduct] ${message}\n`),
}

/** All options, defaults filled in. Throws InvalidOptionError. */
export function resolveOptions(options: FlowOptions): Required<FlowOptions> {
  checkOptions('the flow', options, flowRules)
  return {
    memory: options.memory ?? defaultMemory(),
    maxPending: options.maxPending ?? flowDefaults.maxPending,
    queuePriorities: options.queuePriorities ?? flowDefaults.priorities,
    payloadThreshold: options.payloadThreshold ?? flowDefaults.payloadThreshold,
    spin: options.spin ?? flowDefaults.spin,
    metrics: options.metrics ?? flowDefaults.metrics,
    logger: options.logger ?? warnings,
  }
}

function defaultMemory(): number {
  const constrained = process.constrainedMemory()
  const available = constrained > 0 && constrained < totalmem() ? constrained : totalmem()
  return Math.floor(available * flowDefaults.memoryShare)
}
