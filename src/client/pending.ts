import type { RecordedTimings } from '../transport/task-table.ts'
import type { Timed } from './deadlines.ts'
import type { Finished } from './results.ts'
import type { Waiting } from './waiting-list.ts'

/** How one task is to be processed. */
export interface SubmitOptions {
  /** Milliseconds; Infinity for none. */
  readonly timeout: number
  readonly priority: number
  readonly signal: AbortSignal | undefined
}

// The settlers of the promise made last: one function for all promises, instead of a closure for each.
const nothing = (): void => undefined
let lastResolve: (task: object) => void = nothing
let lastReject: (error: Error) => void = nothing
const takeSettlers = (resolve: (task: object) => void, reject: (error: Error) => void): void => {
  lastResolve = resolve
  lastReject = reject
}

/** A task between `submit` and its outcome. */
export class Pending implements Timed, Waiting {
  readonly task: object
  readonly taskClass: number
  readonly timeout: number
  readonly priority: number
  readonly signal: AbortSignal | undefined
  readonly firstStep: number
  /** Flow time. */
  readonly submittedAt: number
  readonly outcome: Promise<object>
  readonly resolve: (task: object) => void
  readonly reject: (error: Error) => void
  deadlinePlace = -1
  place: number | undefined
  onAbort: (() => void) | undefined
  /** -1 while it waits to be admitted. */
  slot = -1
  /** Whether there is shared memory that comes back only when the task is done: a body that was received for it. */
  readonly holdsMemory: boolean
  /** Pages that it lacked when it could not be admitted for want of memory; 0 while it has not been tried. */
  missingPages = 0
  /** The state word with which it was queued: while that is there, nobody has touched the task. */
  queuedAs = 0
  /** Whether its caller has the outcome; its slot may still be in a worker's hands. */
  settled = false
  /** What it has come back with. */
  finished: Finished | undefined
  timings: RecordedTimings | undefined
  doneGeneration = 0
  /** Those that were completed together are a list. */
  nextCompleted: Pending | undefined

  constructor(
    task: object,
    taskClass: number,
    options: SubmitOptions,
    firstStep: number,
    now: number,
    holdsMemory: boolean,
  ) {
    this.task = task
    this.taskClass = taskClass
    this.timeout = options.timeout
    this.priority = options.priority
    this.signal = options.signal
    this.firstStep = firstStep
    this.submittedAt = now
    this.holdsMemory = holdsMemory
    this.outcome = new Promise<object>(takeSettlers)
    this.resolve = lastResolve
    this.reject = lastReject
    lastResolve = lastReject = nothing // or the last promise would keep its task, and the task its memory
  }

  /** Flow time; Infinity for none. */
  get deadline(): number {
    return this.submittedAt + this.timeout
  }
}
