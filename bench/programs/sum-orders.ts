/** What a program of the sum task is asked; `bench/peers/python/sum.py` understands the same. */
export type SumOrder =
  | { readonly do: 'throughput'; readonly inFlight: number; readonly seconds: number }
  | { readonly do: 'roundTrips'; readonly seconds: number; readonly pauseMs: number }
  /** Memory for so many tasks at once; this library alone. */
  | { readonly do: 'pending'; readonly pending: number }

/** What it says when it is ready. */
export interface Opened {
  readonly pid: number
  /** Processes of its workers. */
  readonly workers: readonly number[]
  /** From the start of its workers until the first task was done. */
  readonly readyMs: number
}
