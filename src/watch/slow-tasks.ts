import type { BaseTask, StepTimings } from '../task.ts'

/** A task that took long, and where its time went. */
export interface SlowTask {
  /** Milliseconds since 1970 at its end. */
  readonly at: number
  /** Name of its class. */
  readonly task: string
  /** Milliseconds from `process()` to its outcome. */
  readonly totalMs: number
  /** The steps that handled it, in order. What `totalMs` has beyond them and the way back it waited before the first. */
  readonly steps: readonly StepTimings[]
  /** Milliseconds from the end of the last step until the program had it. */
  readonly returnMs: number
  /** Others of its class that ended within a millisecond of it and were no slower: mostly those of its batch. */
  readonly alike: number
}

const SPAN_MS = 30_000
const SPANS = 10
const PER_SPAN = 10

/** The slowest tasks of half a minute, the slowest first. */
interface Span {
  readonly until: number
  readonly tasks: { readonly endedAt: number; task: SlowTask }[]
}

/** Tasks that ended within so many milliseconds ended together. */
const TOGETHER_MS = 1

/**
 * The slowest tasks of the last five minutes among those that were completed for this program. A task that is not one of
 * them costs two comparisons.
 */
export class SlowTasks {
  #spans: Span[] = []
  /** Flow time at which the present span is over. */
  #until = -Infinity
  /** Milliseconds that a task must have taken to be one of the span's slowest. */
  #least = -1

  /** Flow time begins anew. */
  restart(): void {
    this.#spans = []
    this.#until = -Infinity
  }

  /** Whether a task that took so long is one of the slowest. */
  wants(totalMs: number, endedAt: number): boolean {
    return totalMs > this.#least || endedAt >= this.#until
  }

  /** The slowest, the slowest first. `now` is flow time. */
  list(now: number, limit: number): SlowTask[] {
    return this.#spans
      .filter(({ until }) => until > now - SPAN_MS * SPANS)
      .flatMap(({ tasks }) => tasks.map(({ task }) => task))
      .toSorted((a, b) => b.totalMs - a.totalMs)
      .slice(0, limit)
  }

  /** A task is one of the slowest, and its timings have been put in it. */
  take(completed: object, endedAt: number, returnMs: number): void {
    const task = completed as BaseTask
    if (endedAt >= this.#until) {
      this.#until = endedAt + SPAN_MS
      this.#spans = [...this.#spans.slice(1 - SPANS), { until: this.#until, tasks: [] }]
    }
    const { tasks } = this.#spans.at(-1)!
    const { totalMs, steps } = task.timings!
    const name = task.constructor.name
    const twin = tasks.findIndex(
      (other) => other.task.task === name && Math.abs(other.endedAt - endedAt) < TOGETHER_MS,
    )
    const former = tasks[twin]
    const alike = former === undefined ? 0 : former.task.alike + 1
    if (former !== undefined && former.task.totalMs >= totalMs) {
      former.task = { ...former.task, alike }
      return
    }
    if (former !== undefined) tasks.splice(twin, 1)
    const slow = {
      at: Date.now(),
      task: name,
      totalMs,
      steps,
      returnMs: Math.max(0, returnMs),
      alike,
    }
    const place = tasks.findIndex((other) => other.task.totalMs < totalMs)
    tasks.splice(place < 0 ? tasks.length : place, 0, {
      endedAt: former?.endedAt ?? endedAt,
      task: slow,
    })
    if (tasks.length > PER_SPAN) tasks.pop()
    this.#least = tasks.length < PER_SPAN ? -1 : tasks.at(-1)!.task.totalMs
  }
}
