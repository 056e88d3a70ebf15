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

const names = [
  'admitted',
  'completed',
  'failed',
  'timedOut',
  'cancelled',
  'pending',
  'rejected',
] as const satisfies readonly (keyof TaskCounts)[]

const countsOf = (count: (name: keyof TaskCounts) => number): Record<keyof TaskCounts, number> => ({
  admitted: count('admitted'),
  completed: count('completed'),
  failed: count('failed'),
  timedOut: count('timedOut'),
  cancelled: count('cancelled'),
  pending: count('pending'),
  rejected: count('rejected'),
})

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
  /** Whether the flow may have other callers now, whose tasks are in its books too. */
  hasOthers = false
  readonly failedBy: Record<string, number> = {}
  /** What was wrong, in words. */
  readonly problems: string[] = []
  readonly #counts = countsOf(() => 0)

  /** What others had in the flow's books when they went. */
  #others = countsOf(() => 0)

  /** All counts as they are now. */
  get counts(): TaskCounts {
    return { ...this.#counts }
  }

  get pending(): number {
    return this.#counts.pending
  }

  /** Tasks with an outcome, those of others included. */
  get settledByAll(): number {
    return this.settled + this.#others.admitted - this.#others.pending
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

  /** The other callers have gone, and nothing is pending: what these books lack in the flow's was theirs. */
  leaveOthersOut(counts: TaskCounts): void {
    this.hasOthers = false
    const theirs = (name: keyof TaskCounts): number => counts[name] - this.#counts[name]
    this.#others = countsOf((name) => (name === 'pending' ? 0 : theirs(name)))
  }

  /**
   * Compares with the books of a flow, which must be the same, or not less while there are other callers. To be called
   * when no promise is about to be settled: in a turn of the event loop of its own.
   */
  compare(counts: TaskCounts): void {
    const { admitted, completed, failed, timedOut, cancelled, pending } = counts
    const balance = admitted - (completed + failed + timedOut + cancelled + pending)
    const differing = names.filter((name) => {
      const ours = this.#counts[name] + this.#others[name]
      return this.hasOthers ? counts[name] < ours : counts[name] !== ours
    })
    if (differing.length === 0 && balance === 0 && pending >= 0) return
    this.imbalances++
    const named = differing.map(
      (name) => `${name} is ${counts[name]}, not ${this.#counts[name] + this.#others[name]}`,
    )
    this.tell(`the flow's books do not balance: ${named.join(', ')}; off by ${balance}`)
  }

  #settle(outcome: Outcome): void {
    this.#counts[outcome]++
    this.#counts.pending--
    this.lastChangeAt = performance.now()
  }
}
