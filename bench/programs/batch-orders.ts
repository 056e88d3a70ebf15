import type { Arrivals } from '../harness/constant-arrivals.ts'

/** How batches form. */
export interface BatchPlan {
  readonly batchTimeout: number
  /** Serve over HTTP instead. */
  readonly http: boolean
  /** What the peers in Python need to know of the model. */
  readonly callMs?: number
  readonly itemMs?: number
  readonly batchSize?: number
}

export type BatchOrder =
  | ({ readonly do: 'openLoop' } & Arrivals)
  | { readonly do: 'limit'; readonly seconds: number }
