import type { BatchSignals } from './batch-signals.ts'
import type { Claim } from './batcher.ts'
import type { CallerWatch } from './caller-watch.ts'

const noClaims: Claim[] = []
const noTasks: object[] = []

/**
 * The tasks that a handler has in its hands, from the call of `handle` to its end. Each attempt at a batch is one of its
 * own: what a failed attempt still does with its tasks when the next has begun means nothing. It is the context that
 * `handle` gets.
 */
export class Batch {
  readonly #watch: CallerWatch
  #claims: Claim[] = noClaims
  #tasks: object[] = noTasks
  #isOpen = true
  #signals: BatchSignals | undefined
  #failures: Map<Claim, unknown> | undefined
  /** Of which the handler was told, when it asked, that nobody waits. */
  #told: Set<Claim> | undefined

  constructor(watch: CallerWatch) {
    this.#watch = watch
  }

  get claims(): readonly Claim[] {
    return this.#claims
  }

  /** The tasks, in the order of their claims. */
  get tasks(): readonly object[] {
    return this.#tasks
  }

  add(claim: Claim, task: object): void {
    if (this.#claims.length === 0) {
      this.#claims = [claim]
      this.#tasks = [task]
    } else {
      this.#claims.push(claim)
      this.#tasks.push(task)
    }
  }

  /** Aborted when nobody waits for any of the tasks any more. */
  get signal(): AbortSignal {
    return this.#watched().signal
  }

  /** Aborted when nobody waits for the task any more. */
  signalOf(claim: Claim): AbortSignal {
    return this.#watched().signalOf(claim)
  }

  /** Whether the handler has the task in its hands, and nobody waits for it any more. */
  hasGone(claim: Claim): boolean {
    if (!this.#isOpen || !this.#watch.callers.hasGone(claim)) return false
    this.#told ??= new Set()
    this.#told.add(claim)
    return true
  }

  /**
   * Whether the handler knows that nobody waits for a task, and may have left it half done: its caller must not get that
   * for a result, however late the caller learns that the deadline has passed.
   */
  wasTold(claim: Claim): boolean {
    return this.#told?.has(claim) === true || this.#signals?.hasFired(claim) === true
  }

  /** Whether every task may be handed over: none was failed, and of none the handler was told that nobody waits. */
  get isWhole(): boolean {
    return (
      this.#failures === undefined && this.#told === undefined && this.#signals?.haveFired !== true
    )
  }

  /** The handler fails one of its tasks. The first word counts, and none that comes after the handler's end. */
  fail(claim: Claim, error: unknown): void {
    if (!this.#isOpen) return
    this.#failures ??= new Map()
    if (!this.#failures.has(claim)) this.#failures.set(claim, error)
  }

  /** What the handler has failed, with its errors; undefined for nothing. */
  get failures(): ReadonlyMap<Claim, unknown> | undefined {
    return this.#failures
  }

  /** Whether an error says no more than that the handler has heeded a signal. */
  isAbort(error: unknown): boolean {
    return this.#signals?.isAbort(error) === true
  }

  /** The handler has ended. */
  close(): void {
    this.#isOpen = false
    if (this.#signals !== undefined) this.#watch.end(this.#signals)
  }

  #watched(): BatchSignals {
    this.#signals ??= this.#watch.begin(this.#claims, this.#isOpen)
    return this.#signals
  }
}
