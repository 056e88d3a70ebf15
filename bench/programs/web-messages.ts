/** What a web process of the cluster workload is told, as its first argument. */
export interface WebPlan {
  readonly address: string
  readonly inFlight: number
  readonly payloadBytes: number
}

/** What it is asked: to work for so long, as fast as it can. */
export interface Measure {
  readonly seconds: number
}

export type WebMessage =
  | { readonly kind: 'attached' }
  | { readonly kind: 'measured'; readonly tasksPerSecond: number; readonly failed: number }
