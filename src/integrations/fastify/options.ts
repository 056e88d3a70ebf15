import { constants } from 'node:os'
import {
  type FlowHealth,
  type FlowState,
  InvalidOptionError,
  type StartOptions,
  type StopOptions,
} from '../../index.ts'
import { type Rule, type Rules, checkOptions, finiteDuration, object } from '../../options.ts'

/** What the plugin needs of a flow: a `Flow` has it, and a `FlowClient`. */
export interface AnyFlow {
  readonly state: FlowState
  readonly isRunning: boolean
  health(): FlowHealth
  start(options?: StartOptions): Promise<void>
  stop(options?: StopOptions): Promise<void>
  on(event: 'state', listener: (state: FlowState) => void): unknown
  off(event: 'state', listener: (state: FlowState) => void): unknown
}

/** Options of the plugin. */
export interface PluginOptions {
  /** The application's only flow: short for `flows: { flow }`. */
  readonly flow?: AnyFlow
  /** The application's flows by name. */
  readonly flows?: Readonly<Record<string, AnyFlow>>
  /**
   * Milliseconds in which each flow must have started. Default: `FLOW_START_TIMEOUT` of the environment, which is in
   * seconds (0 or less for no limit), else 300,000.
   */
  readonly startTimeout?: number
  /**
   * Milliseconds that the requests under way have when the application closes; then their connections are cut and the
   * flows stopped by force. Default 10,000.
   */
  readonly closeTimeout?: number
  /**
   * Closes the application and ends the program with exit code 1 when a flow cannot start or has failed. Default true. With
   * false, a flow that recovers serves again.
   */
  readonly exitOnFail?: boolean
  /**
   * Closes the application and ends the program at these signals: `true` for SIGINT and SIGTERM. Default false: signals
   * are yours to handle.
   */
  readonly closeOnSignals?: boolean | readonly NodeJS.Signals[]
  /** Path of the route that answers 503 while a flow has failed, and 200 else; false for none. Default `/health/live`. */
  readonly liveness?: string | false
  /**
   * Path of the route that answers 200 while all flows are ready by their `health()`, and 503 with the reasons else; false
   * for none. Default `/health/ready`.
   */
  readonly readiness?: string | false
  /**
   * Answers the errors of flows as `toHttpError()` of `aqueduct-ts/http` has it, in the form of Fastify's own errors, and
   * leaves all others to the application's error handler. Default true. Fastify warns of two handlers at one level
   * (`FSTWRN004`): give yours to an inner scope, or switch this one off and let yours ask `toHttpError()`.
   */
  readonly errorHandler?: boolean
  /**
   * Tells in the header `Server-Timing` of the answers where the time of their tasks went: in all, and at each step in the
   * queue, in the forming batch and in the handler. Browsers show it. It says what steps there are and how busy they are:
   * for whom that is too much, leave it off. For the routes that are declared after the plugin. Default false.
   */
  readonly serverTiming?: boolean
}

/** All options, defaults filled in. */
export interface ResolvedOptions {
  readonly flows: Readonly<Record<string, AnyFlow>>
  readonly startTimeout: number
  readonly closeTimeout: number
  readonly exitOnFail: boolean
  readonly closeOnSignals: readonly NodeJS.Signals[]
  readonly liveness: string | false
  readonly readiness: string | false
  readonly errorHandler: boolean
  readonly serverTiming: boolean
}

const isFlow = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  ['process', 'start', 'stop', 'health', 'on'].every(
    (name) => typeof (value as Record<string, unknown>)[name] === 'function',
  )

const flag: Rule = {
  expects: 'true or false',
  accepts: (value) => typeof value === 'boolean',
}
const path: Rule = {
  expects: "a path that begins with '/', or false",
  accepts: (value) => value === false || (typeof value === 'string' && value.startsWith('/')),
}
const anything: Rule = { expects: 'anything', accepts: () => true }

const rules: Rules = {
  flow: { expects: 'a Flow or a FlowClient', accepts: isFlow },
  flows: object,
  startTimeout: finiteDuration(0),
  closeTimeout: finiteDuration(0),
  exitOnFail: flag,
  closeOnSignals: {
    expects: "true, false or a list of signals, such as ['SIGTERM']",
    accepts: (value) =>
      typeof value === 'boolean' ||
      (Array.isArray(value) && value.every((name) => Object.hasOwn(constants.signals, name))),
  },
  liveness: path,
  readiness: path,
  errorHandler: flag,
  serverTiming: flag,
  // Fastify's own, which it leaves among those of the plugin.
  prefix: anything,
  logLevel: anything,
  logSerializers: anything,
}

/** Throws InvalidOptionError. */
export function resolveOptions(options: PluginOptions): ResolvedOptions {
  checkOptions('the Fastify plugin', options, rules)
  const { closeOnSignals = false } = options
  return {
    flows: flowsOf(options),
    startTimeout: options.startTimeout ?? startTimeoutOf(process.env['FLOW_START_TIMEOUT']),
    closeTimeout: options.closeTimeout ?? 10_000,
    exitOnFail: options.exitOnFail ?? true,
    closeOnSignals:
      typeof closeOnSignals === 'boolean'
        ? closeOnSignals
          ? ['SIGINT', 'SIGTERM']
          : []
        : closeOnSignals,
    liveness: options.liveness ?? '/health/live',
    readiness: options.readiness ?? '/health/ready',
    errorHandler: options.errorHandler ?? true,
    serverTiming: options.serverTiming ?? false,
  }
}

function flowsOf({ flow, flows }: PluginOptions): Readonly<Record<string, AnyFlow>> {
  if ((flow === undefined) === (flows === undefined)) {
    throw new InvalidOptionError(
      flow === undefined ? 'flow' : 'flows',
      'the Fastify plugin: give it either { flow } or { flows: { name: flow, … } }',
    )
  }
  if (flow !== undefined) return Object.freeze({ flow })
  const named = Object.freeze({ ...flows })
  const names = Object.keys(named)
  if (names.length === 0) {
    throw new InvalidOptionError('flows', "the Fastify plugin: 'flows' must name at least one flow")
  }
  checkOptions(
    "'flows' of the Fastify plugin",
    named,
    Object.fromEntries(
      names.map((name) => [name, { expects: 'a Flow or a FlowClient', accepts: isFlow }]),
    ),
  )
  return named
}

const DEFAULT_START_TIMEOUT = 300_000
/** The longest time that Node's timers know, in milliseconds: 24 days. */
const NO_LIMIT = 2 ** 31 - 1

/** Milliseconds from what the environment says in seconds. */
function startTimeoutOf(seconds: string | undefined): number {
  if (seconds === undefined || seconds === '') return DEFAULT_START_TIMEOUT
  const timeout = Number(seconds) * 1_000
  if (Number.isNaN(timeout)) {
    throw new InvalidOptionError(
      'FLOW_START_TIMEOUT',
      `the environment's FLOW_START_TIMEOUT must be a number of seconds, not '${seconds}'`,
    )
  }
  return timeout <= 0 ? NO_LIMIT : Math.min(timeout, NO_LIMIT)
}
