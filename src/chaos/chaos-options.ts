import { type Rules, checkOptions, finiteDuration, integer, signal } from '../options.ts'
import type { TaskCounts } from '../index.ts'

/** What goes on at a moment of a storm. */
export interface ChaosProgress {
  readonly phase: 'before' | 'storm' | 'rest' | 'after'
  /** Seconds since the beginning. */
  readonly elapsed: number
  readonly tasksPerSecond: number
  readonly kills: number
  readonly restarts: number
  readonly tasks: TaskCounts
}

/** Options of a storm. */
export interface ChaosOptions {
  /** What all of it takes, about; a little more than half of it is the storm. Default 60. */
  readonly seconds?: number
  /**
   * Workers killed from outside, at moments spread over the storm; a kill waits while less than half of the workers run.
   * Default 200.
   */
  readonly kills?: number
  /** Web processes killed that are clients of the flow. Default a twentieth of the kills; for the library's own service. */
  readonly guestKills?: number
  /** Tasks that end their worker. Default a twentieth of the kills; for the library's own service. */
  readonly deadly?: number
  /** Tasks that never return. Default a fortieth of the kills; for the library's own service. */
  readonly hanging?: number
  /** Tasks that are under way at any time. Default 32. */
  readonly inFlight?: number
  /** Repeats the schedule of tasks, kills and harm; not how they interleave. Default: any. */
  readonly seed?: number
  /**
   * Seconds without a single outcome after which what is pending counts as lost, and in which everything must run again
   * after the storm. Default 30.
   */
  readonly grace?: number
  /** Called some ten times a second. */
  readonly onProgress?: (progress: ChaosProgress) => void
  /** Ends the storm early: it rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

export interface ResolvedChaos extends Required<Omit<ChaosOptions, 'onProgress' | 'signal'>> {
  readonly onProgress: (progress: ChaosProgress) => void
  readonly signal: AbortSignal
}

const SEEDS = 2 ** 31

/** Values that apply where an option is not given. */
export const chaosDefaults: {
  readonly seconds: number
  readonly kills: number
  readonly guestKillsShare: number
  readonly deadlyShare: number
  readonly hangingShare: number
  readonly inFlight: number
  readonly grace: number
} = Object.freeze({
  seconds: 60,
  kills: 200,
  guestKillsShare: 0.05, // of the kills
  deadlyShare: 0.05, // of the kills
  hangingShare: 0.025, // of the kills
  inFlight: 32, // tasks
  grace: 30, // seconds
})

const rules = {
  seconds: finiteDuration(1),
  kills: integer(0),
  guestKills: integer(0),
  deadly: integer(0),
  hanging: integer(0),
  inFlight: integer(1),
  seed: integer(0, SEEDS - 1),
  grace: finiteDuration(1),
  onProgress: { expects: 'a function', accepts: (value) => typeof value === 'function' },
  signal,
} satisfies Rules

/** Throws InvalidOptionError. */
export function resolveChaos(options: ChaosOptions): ResolvedChaos {
  checkOptions('runChaos()', options, rules)
  const kills = options.kills ?? chaosDefaults.kills
  return {
    seconds: options.seconds ?? chaosDefaults.seconds,
    kills,
    guestKills: options.guestKills ?? Math.round(kills * chaosDefaults.guestKillsShare),
    deadly: options.deadly ?? Math.round(kills * chaosDefaults.deadlyShare),
    hanging: options.hanging ?? Math.round(kills * chaosDefaults.hangingShare),
    inFlight: options.inFlight ?? chaosDefaults.inFlight,
    seed: options.seed ?? Math.floor(Math.random() * SEEDS),
    grace: options.grace ?? chaosDefaults.grace,
    onProgress: options.onProgress ?? (() => undefined),
    signal: options.signal ?? new AbortController().signal,
  }
}
