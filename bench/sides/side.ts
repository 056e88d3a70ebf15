import type { Call } from '../harness/closed-loop.ts'

/** A way of having the sum task done elsewhere, started and ready. */
export interface Side {
  readonly call: Call
  /** Processes that do the work, where it is not threads of this one. */
  readonly workers?: readonly number[]
  close(): Promise<unknown>
}

/** What a side is told: the same for all of them. */
export interface SidePlan {
  /** Module of `bench/sides`. */
  readonly side: string
  /** Workers, of each step. */
  readonly workers: number
  /** Steps that add one each; peers without steps have one. */
  readonly steps: number
  /** How this one is set up beside that. */
  readonly options: Readonly<Record<string, unknown>>
}

/** What each module of `bench/sides` exports. */
export interface SideModule {
  open(plan: SidePlan): Side | Promise<Side>
}
