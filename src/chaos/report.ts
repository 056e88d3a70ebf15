/** Before the storm, in it, and after it. */
export interface Phases<Value> {
  readonly before: Value
  readonly during: Value
  readonly after: Value
}

export const phasesOf = <Value>(of: (phase: keyof Phases<never>) => Value): Phases<Value> => ({
  before: of('before'),
  during: of('during'),
  after: of('after'),
})

/** What a storm has found. Durations are milliseconds. */
export interface ChaosReport {
  /** Repeats the schedule of tasks, kills and harm with the same options; not how they interleave. */
  readonly seed: number
  /** What it took, in seconds. */
  readonly seconds: number
  /** Workers killed from outside. */
  readonly kills: number
  /** Clients in other processes killed. */
  readonly guestKills: number
  /** Tasks that ended their worker, and that never returned. */
  readonly harmful: { readonly deadly: number; readonly hanging: number }

  readonly admitted: number
  readonly completed: number
  readonly failed: number
  /** How many failed with which code. */
  readonly failedBy: Readonly<Record<string, number>>
  readonly timedOut: number
  readonly cancelled: number
  /** Refused at `maxPending`; not admitted. */
  readonly rejected: number

  /** Admitted tasks that never had an outcome. */
  readonly lost: number
  /** Outcomes by the flow's books beyond those that callers were told. */
  readonly settledTwice: number
  /** Results that are not what their input demands, and errors that it does not allow. */
  readonly wrongResults: number
  /** Samples at which the flow's books differed from the callers', or did not balance. */
  readonly imbalances: number
  readonly blocksInUseAtEnd: number
  /** Workers that do not run or handle nothing at the end, and tasks unsettled well past their deadline. */
  readonly wedged: number
  /** Worker processes that live and that the flow does not know any more. */
  readonly strayProcesses: number
  /** `running` until the storm stops the flow. */
  readonly state: string

  /** Workers that were started in the place of others. */
  readonly restarts: number
  /** How often the flow was `failed`, since all workers of a step were killed again and again before they were ready. */
  readonly outages: number
  /** Until all workers ran again, from the storm's end. */
  readonly recoveryMs: number
  /** Of completed tasks. */
  readonly p50Ms: Phases<number>
  readonly p99Ms: Phases<number>
  /** Tasks per second; medians of windows before and after. */
  readonly throughput: Phases<number>
  /** The same of a flow of the same kind that was spared, in the same time; undefined where there was none. */
  readonly throughputOfSpared: { readonly before: number; readonly after: number } | undefined
  /** Throughput after the storm as a share of that before. */
  readonly throughputShare: number
  /** The same in the measure of the spared flow, whatever the machine has become; undefined where there was none. */
  readonly throughputShareBesideSpared: number | undefined

  /** What was wrong, in words; the first few. */
  readonly problems: readonly string[]
}

/** The least of its throughput that a flow must have after the storm. */
export const LEAST_SHARE = 0.95

const ZERO = [
  'lost',
  'settledTwice',
  'wrongResults',
  'imbalances',
  'blocksInUseAtEnd',
  'wedged',
  'strayProcesses',
] as const satisfies readonly (keyof ChaosReport)[]

/** The invariants that a storm has broken, in words; none is as it should be. */
export function brokenInvariants(
  report: ChaosReport,
  { speed }: { readonly speed: boolean },
): string[] {
  const broken = ZERO.filter((name) => report[name] !== 0).map(
    (name) => `${name} is ${report[name]}, and must be 0`,
  )
  const { admitted, completed, failed, timedOut, cancelled, lost, state } = report
  const settled = completed + failed + timedOut + cancelled
  if (admitted !== settled + lost)
    broken.push(`admitted is ${admitted}, and what became of them adds up to ${settled + lost}`)
  if (state !== 'running') broken.push(`the flow is ${state}, and must be running`)
  if (completed === 0) broken.push('completed is 0: nothing was handled at all')
  if (speed && isSlower(report)) {
    const { throughputShare: share, throughputShareBesideSpared: beside } = report
    const besides = beside === undefined ? '' : `, and ${beside.toFixed(3)} beside a spared flow`
    broken.push(
      `throughputShare is ${share.toFixed(3)}${besides}, and must be at least ${LEAST_SHARE}`,
    )
  }
  return broken
}

/** Whether the flow is slower than before. Where a flow that was spared is slower too, the machine is. */
const isSlower = ({ throughputShare, throughputShareBesideSpared }: ChaosReport): boolean =>
  !(throughputShare >= LEAST_SHARE) && !((throughputShareBesideSpared ?? 0) >= LEAST_SHARE)
