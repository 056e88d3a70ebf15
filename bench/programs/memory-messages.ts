/** What the memory program is told, as its first argument. */
export interface Plan {
  readonly tasks: number
  readonly payloadBytes: number
  readonly arenaBytes: number
  readonly inFlight: number
  /** Longest time at the end in which garbage may be collected. */
  readonly drainMs: number
}

/** Its workers are running. */
export interface Started {
  readonly kind: 'started'
  readonly workers: readonly { readonly step: string; readonly pid: number }[]
}

/** All tasks are done. */
export interface Finished {
  readonly kind: 'finished'
  readonly exposeGc: boolean
  readonly loadMs: number
  /** The longest time from `process()` to its result. */
  readonly longestMs: number
  readonly blocksAfterLastTask: number
  /** After the small tasks. */
  readonly blocksInUse: number
  readonly drainTasks: number
  readonly drainMs: number
}

export type Message = Started | Finished
