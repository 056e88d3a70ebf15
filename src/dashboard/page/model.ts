import type { FlowEvent, FlowProblem, FlowSample, FlowView, SlowTask } from 'aqueduct-ts'
import type { Verdict } from 'aqueduct-ts/verdict'

/** What the page knows. */
export interface Model {
  /** The last five minutes, the eldest first, with zeros for the time in which the flow had nothing to do. */
  readonly samples: readonly FlowSample[]
  readonly view: Omit<FlowView, 'slowTasks' | 'problems' | 'events'>
  readonly verdict: Verdict
  readonly slowTasks: readonly SlowTask[]
  readonly problems: readonly FlowProblem[]
  readonly events: readonly FlowEvent[]
}

export const HISTORY_MS = 300_000
/** A second that is late by so much was one in which the flow slept. */
const GAP_MS = 1_000

/** A sample of a time in which nothing happened. */
const restAt = (at: number, like: FlowSample): FlowSample => ({
  ...like,
  at,
  tasks: {
    admitted: 0,
    completed: 0,
    failed: 0,
    timedOut: 0,
    cancelled: 0,
    rejected: 0,
    pending: 0,
  },
  latency: undefined,
  steps: like.steps.map((step) => ({
    ...step,
    waiting: step.waiting.map(() => ({ tasks: 0, oldestMs: 0 })),
    tasks: 0,
    batches: 0,
    failed: 0,
    expired: 0,
    busy: 0,
    batchSizes: [],
  })),
})

/** Adds a sample to those before: an idle flow is not sampled unless somebody watches. */
export function append(samples: FlowSample[], next: FlowSample): void {
  const last = samples.at(-1)
  const from = next.at - next.periodMs
  if (last !== undefined && from - last.at > GAP_MS)
    samples.push(restAt(last.at + 1, last), restAt(from, last))
  samples.push(next)
  const first = samples.findIndex(({ at }) => at > next.at - HISTORY_MS)
  if (first > 0) samples.splice(0, first)
}

/** How many per second of the sample's period. */
export const perSecond = (value: number, { periodMs }: FlowSample): number =>
  (value * 1_000) / periodMs

export const sum = (numbers: readonly number[]): number =>
  numbers.reduce((before, one) => before + one, 0)

/** The samples of the last milliseconds. */
export function lately(samples: readonly FlowSample[], ms: number): readonly FlowSample[] {
  const now = samples.at(-1)?.at ?? 0
  return samples.filter(({ at }) => at > now - ms)
}
