import { AqueductError, type TaskCounts } from '../index.ts'

/** Codes of what is refused and not admitted. */
const REFUSALS = new Set(['AQ_QUEUE_FULL', 'AQ_NOT_RUNNING'])
/** Problems that are told in words: the first few say it all. */
const MOST_PROBLEMS = 10

/** What a call of `process()` rejected with, in one word. */
export const codeOf = (error: unknown): string =>
  AqueductError.is(error) ? error.code : 'not an AqueductError'

/** Whether a task with this error was never admitted. */
export const isRefusal = (code: string): boolean => REFUSALS.has(code)

type Outcome = 'completed' | 'failed' | 'timedOut' | 'cancelled'

/**
 * The callers' own books: what they have handed to a flow and what came of it, counted apart from the flow's counters so
 * that the two can be compared.
 */
export class Ledger {
  /** Results that their input does not allow. */
  wrongResults = 0
  /** Moments at which the flow's books did not balance with these. */
  imbalances = 0
  /** Outcomes that came long after their deadline. */
  overdue = 0
  /** When something was settled last, or admitted where nothing was pending; as `performance.now()` has it. */
  lastChangeAt = 0
  readonly failedBy: Record<string, number> = {}
  /** What was wrong, in words. */
  readonly problems: string[] = []
  readonly #counts: Record<keyof TaskCounts, number> = {
    admitted: 0,
    completed: 0,
    failed: 0,
    timedOut: 0,
    cancelled: 0,
    pending: 0,
    rejected: 0,
  }

  /** All counts as they are now. */
  get counts(): TaskCounts {
    return { ...this.#counts }
  }

  get pending(): number {
    return this.#counts.pending
  }

  /** Tasks with an outcome. */
  get settled(): number {
    return this.#counts.admitted - this.#counts.pending
  }

  admit(): void {
    if (this.#counts.pending === 0) this.lastChangeAt = performance.now()
    this.#counts.admitted++
    this.#counts.pending++
  }

  complete(): void {
    this.#settle('completed')
  }

  /** Books what `process()` rejected with. */
  reject(error: unknown): void {
    const code = codeOf(error)
    if (isRefusal(code)) {
      this.#counts.admitted--
      this.#counts.pending--
      if (code === 'AQ_QUEUE_FULL') this.#counts.rejected++
    } else if (code === 'AQ_TIMEOUT') {
      this.#settle('timedOut')
    } else if (code === 'AQ_CANCELLED') {
      this.#settle('cancelled')
    } else {
      this.failedBy[code] = (this.failedBy[code] ?? 0) + 1
      this.#settle('failed')
    }
  }

  wrong(problem: string): void {
    this.wrongResults++
    this.tell(problem)
  }

  tell(problem: string): void {
    if (this.problems.length < MOST_PROBLEMS) this.problems.push(problem)
  }

  /**
   * Compares with the books of a flow that has no other callers. To be called when no promise is about to be settled: in a
   * turn of the event loop of its own.
   */
  compare(counts: TaskCounts): void {
    const { admitted, completed, failed, timedOut, cancelled, pending } = counts
    const differing = Object.entries(this.#counts).filter(
      ([name, count]) => counts[name as keyof TaskCounts] !== count,
    )
    if (
      differing.length === 0 &&
      admitted === completed + failed + timedOut + cancelled + pending &&
      pending >= 0
    )
      return
    this.imbalances++
    const named = differing.map(
      ([name, count]) => `${name} is ${counts[name as keyof TaskCounts]}, not ${count}`,
    )
    this.tell(`the flow's books do not balance: ${named.join(', ')}`)
  }

  #settle(outcome: Outcome): void {
    this.#counts[outcome]++
    this.#counts.pending--
    this.lastChangeAt = performance.now()
  }
}
