/** How the server takes bodies. */
export type Route = 'share-from' | 'share-from-chunked' | 'buffer'

/** What the server is told, as its first argument. */
export interface ServerPlan {
  readonly route: Route
  readonly arenaBytes: number
  readonly maxBytes: number
}

/** What the server says when it listens. */
export interface Listening {
  readonly port: number
  readonly workers: readonly number[]
}

/** What the server says when it is told to end. */
export interface Ending {
  readonly blocksInUse: number
}

/** What the sender is told, as its first argument. */
export interface LoadPlan {
  readonly port: number
  readonly bodyBytes: number
  readonly requests: number
  readonly atOnce: number
  readonly chunked: boolean
}

/** What the sender says when it is done. */
export interface Sent {
  /** All requests, first to last. */
  readonly totalMs: number
  /** Of each request. */
  readonly durationsMs: readonly number[]
}
