import type { Target } from '../harness/http-pool.ts'
import type { Arrivals } from '../harness/constant-arrivals.ts'

/** What is asked, and what has to be in the answer; numbers within a tolerance. */
export type Expected = string | number | boolean | { readonly [key: string]: Expected }

/** What the load is to send, in turn. */
export interface LoadPlan {
  readonly target: Target
  readonly type?: string
  readonly requests: readonly {
    readonly file?: string
    readonly body?: string
    readonly expected: Expected
  }[]
}

export type LoadOrder =
  | ({ readonly do: 'openLoop' } & Arrivals)
  | { readonly do: 'closedLoop'; readonly clients: number; readonly seconds: number }

/** What so many clients got. */
export interface Clients {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly samples: number
  /** All requests, those before the measuring began too. */
  readonly sent: number
}
