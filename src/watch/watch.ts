import { type FlowSample, type Reading, sampleOf } from './sample.ts'
import type { FlowView, FlowWatcher } from './view.ts'

/** Where a watch looks. */
export interface WatchSource {
  read(): Reading
  view(): FlowView
  /** Calls back once, as soon as some program has a task pending. */
  whenBusy(callback: () => void): void
}

/** What calls a watch every second. A test passes its own. */
export type Every = (period: number, callback: () => void) => () => void

const everyPeriod: Every = (period, callback) => {
  const timer = setInterval(callback, period).unref()
  return () => clearInterval(timer)
}

const PERIOD_MS = 1_000
const HISTORY_MS = 300_000
/** A look at the flow that comes earlier than so many milliseconds after the last sample has nothing new to say. */
const LEAST_PERIOD_MS = 100
/** Seconds in which nothing has happened, until an unwatched flow is left to sleep. */
const RESTFUL_PERIODS = 2

/**
 * Samples a flow every second, for those who watch and for the five minutes before they come. It reads sums that the
 * flow keeps in shared memory anyway. While nobody watches it sleeps as soon as the flow does: no timer runs then, and
 * the next task wakes it. It begins when the first comes to watch.
 */
export class Watch {
  readonly #source: WatchSource
  readonly #every: Every
  readonly #watchers = new Set<FlowWatcher>()
  #history: FlowSample[] = []
  #before: Reading | undefined
  /** Monotonic time from which the next sample counts: when the last one was made, or when the flow awoke. */
  #since = 0
  #restfulPeriods = 0
  #stopTimer: (() => void) | undefined

  constructor(source: WatchSource, every: Every = everyPeriod) {
    this.#source = source
    this.#every = every
  }

  attach(watcher: FlowWatcher): () => void {
    this.#watchers.add(watcher)
    if (this.#before === undefined) {
      this.#before = this.#source.read()
      this.#since = this.#before.time
    }
    this.#awake()
    const reading = this.#source.read()
    // The first sees zeros, since there is nothing to compare with; others see the present, or the last second again.
    if (this.#history.length === 0 || reading.time - this.#since >= LEAST_PERIOD_MS)
      this.#sample(reading)
    watcher.onHistory(this.#history)
    watcher.onSample(this.#history.at(-1)!, this.#source.view())
    return () => this.#watchers.delete(watcher)
  }

  /** Something has happened to the flow: it is sampled, if it ever was. */
  wake(): void {
    if (this.#before !== undefined) this.#awake()
  }

  readonly #awake = (): void => {
    this.#restfulPeriods = 0
    if (this.#stopTimer !== undefined) return
    this.#since = performance.now() // nothing has happened since the last reading
    this.#stopTimer = this.#every(PERIOD_MS, () => this.#tick())
  }

  #tick(): void {
    const sample = this.#sample(this.#source.read())
    if (this.#watchers.size > 0) {
      const view = this.#source.view()
      for (const watcher of this.#watchers) watcher.onSample(sample, view)
      return
    }
    this.#restfulPeriods = isRestful(sample) ? this.#restfulPeriods + 1 : 0
    if (this.#restfulPeriods < RESTFUL_PERIODS) return
    this.#stopTimer?.()
    this.#stopTimer = undefined
    this.#source.whenBusy(this.#awake)
  }

  #sample(reading: Reading): FlowSample {
    const periodMs = Math.max(1, reading.time - this.#since)
    const sample = sampleOf(reading, this.#before!, periodMs)
    this.#before = reading
    this.#since = reading.time
    this.#history.push(sample)
    const first = this.#history.findIndex(({ at }) => at > sample.at - HISTORY_MS)
    if (first > 0) this.#history.splice(0, first)
    return sample
  }
}

const isRestful = ({ tasks, state }: FlowSample): boolean =>
  state !== 'starting' && state !== 'stopping' && Object.values(tasks).every((count) => count === 0)
