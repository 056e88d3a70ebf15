import type { Claim } from './batcher.ts'
import type { Callers } from './callers.ts'

/** The signals by which a handler hears that the callers of its tasks have gone. */
export class BatchSignals {
  readonly #callers: Callers
  readonly #claims: readonly Claim[]
  /** Why the caller of a task has gone. */
  readonly #gone = new Map<Claim, Error>()
  readonly #ofTasks = new Map<Claim, AbortController>()
  #ofBatch: AbortController | undefined

  constructor(callers: Callers, claims: readonly Claim[]) {
    this.#callers = callers
    this.#claims = claims
  }

  /** The batch's own: aborted when the last caller has gone. */
  get signal(): AbortSignal {
    if (this.#ofBatch === undefined) {
      this.#ofBatch = new AbortController()
      if (this.#haveAllGone) this.#ofBatch.abort(this.#lastReason)
    }
    return this.#ofBatch.signal
  }

  signalOf(claim: Claim): AbortSignal {
    let controller = this.#ofTasks.get(claim)
    if (controller === undefined) {
      controller = new AbortController()
      this.#ofTasks.set(claim, controller)
      if (this.#gone.has(claim)) controller.abort(this.#gone.get(claim))
    }
    return controller.signal
  }

  /** Fires the signals of those who have gone since the last look. */
  look(now: number): void {
    for (const claim of this.#claims) {
      if (this.#gone.has(claim) || !this.#callers.hasGone(claim, now)) continue
      const reason = this.#callers.reasonOf(claim, now)
      this.#gone.set(claim, reason)
      this.#ofTasks.get(claim)?.abort(reason)
    }
    if (this.#haveAllGone) this.#ofBatch?.abort(this.#lastReason)
  }

  /** Whether its caller was seen to have gone. */
  hasFired(claim: Claim): boolean {
    return this.#gone.has(claim)
  }

  /** Whether some caller was seen to have gone. */
  get haveFired(): boolean {
    return this.#gone.size > 0
  }

  /** The next deadline of those who still wait, in flow time. */
  nextDeadline(): number {
    return this.#claims
      .filter((claim) => !this.#gone.has(claim))
      .reduce((next, claim) => Math.min(next, this.#callers.deadlineOf(claim)), Infinity)
  }

  /** Whether an error is the reason of one of the signals, or what Node and its libraries make of that. */
  isAbort(error: unknown): boolean {
    const reasons = [...this.#gone.values()] as unknown[]
    if (reasons.includes(error)) return true
    return error instanceof Error && error.name === 'AbortError' && reasons.length > 0
  }

  get #haveAllGone(): boolean {
    return this.#gone.size === this.#claims.length
  }

  get #lastReason(): Error | undefined {
    return [...this.#gone.values()].at(-1)
  }
}
