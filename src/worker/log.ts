import { describe } from '../errors.ts'
import type { LogLevel, LogRecord, WorkerMessage } from '../transport/protocol.ts'
import { reduce } from '../transport/reduce.ts'
import { encodeReport } from '../transport/reports.ts'
import { TokenBucket } from './token-bucket.ts'

/** Writes a record: data and a message, or a message alone. An error as data is taken for `{ err: error }`. */
export interface LogMethod {
  (data: object, message?: string): void
  (message: string): void
}

/**
 * What a handler logs with. Its records arrive at the flow's `logger` in the parent, at their level, with `step`,
 * `handler`, `worker` and `pid` added to their data; an error in the data arrives as one, with the worker's stack. It
 * never throws: data that cannot travel arrives reduced. A worker may write 100 records a second, 1,000 in a burst; of
 * those beyond it tells the number.
 *
 * @example
 * ```ts
 * import { BaseTask, BaseTaskHandler, type StartContext, type WorkerLogger } from 'aqueduct-ts'
 *
 * class ScanTask extends BaseTask {
 *   pages = 0
 * }
 *
 * export class ScanHandler extends BaseTaskHandler<ScanTask> {
 *   static readonly url = import.meta.url
 *   static readonly task = ScanTask
 *   #logger?: WorkerLogger
 *
 *   override onStart({ logger, index }: StartContext) {
 *     this.#logger = logger
 *     logger.info({ device: index }, 'scanner is ready')
 *   }
 *
 *   handle(tasks: readonly ScanTask[]) {
 *     for (const task of tasks)
 *       if (task.pages === 0) this.#logger?.warn({ pages: task.pages }, 'nothing to scan')
 *   }
 * }
 * ```
 */
export interface WorkerLogger {
  readonly debug: LogMethod
  readonly info: LogMethod
  readonly warn: LogMethod
  readonly error: LogMethod
}

/** Where a worker says that tasks have failed, and who it is. */
export interface FailureLog {
  readonly handler: string
  readonly worker: number
  readonly pid: number
  /** Tasks have failed with an error. */
  taskFailed(error: unknown, tasks: number): void
}

/** Sends a message to the parent. False: it does not keep up, wait for `onSent` before sending more. Does not throw. */
export type Send = (message: WorkerMessage, onSent?: () => void) => boolean

/** Limits of a worker's log: records a second, and in a burst. */
const RECORDS = { perSecond: 100, burst: 1_000 } as const
/** Limits of records of failed tasks, which a flood of bad requests could make many. */
const FAILURES = { perSecond: 10, burst: 100 } as const
/** Warnings and errors that are sent all the same when the parent does not keep up. */
const TROUBLE_BEHIND = 100
/** Milliseconds from the first record that is suppressed to the word about it. */
const TELL_SUPPRESSED_AFTER = 1_000

/** The log of a worker: passes records on to the parent, within limits. */
export class WorkerLog implements FailureLog {
  readonly logger: WorkerLogger
  readonly handler: string
  readonly worker: number
  readonly pid: number = process.pid
  readonly #step: string
  readonly #send: Send
  /** Chatter leaves the room that warnings and errors need. */
  readonly #chatter: TokenBucket
  readonly #trouble: TokenBucket
  readonly #failures: TokenBucket
  /** Whether what was sent to the parent has left, and how much more was sent since it did not. */
  #parentKeepsUp = true
  #sentBehind = 0
  #suppressed = 0
  #timer: NodeJS.Timeout | undefined

  constructor(
    { step, handler, worker }: { step: string; handler: string; worker: number },
    send: Send,
    now: () => number = () => performance.now(),
  ) {
    this.#step = step
    this.handler = handler
    this.worker = worker
    this.#send = send
    this.#chatter = new TokenBucket(RECORDS.perSecond, RECORDS.burst, now)
    this.#trouble = new TokenBucket(RECORDS.perSecond, RECORDS.burst, now)
    this.#failures = new TokenBucket(FAILURES.perSecond, FAILURES.burst, now)
    this.logger = Object.freeze({
      debug: this.#method('debug', this.#chatter),
      info: this.#method('info', this.#chatter),
      warn: this.#method('warn', this.#trouble),
      error: this.#method('error', this.#trouble),
    })
  }

  taskFailed(thrown: unknown, tasks: number): void {
    if (!this.#mayWrite(this.#failures)) return
    const reduced = reduce(thrown) // safe to look at
    const what = describe(reduced)
    const err = reduced instanceof Error ? reduced : new Error(what, { cause: reduced })
    const whose = tasks === 1 ? 'a task' : `${tasks} tasks`
    this.#write('error', { err, tasks }, `step ${this.#step} failed ${whose}: ${what}`)
  }

  /** Says how many records were suppressed, if any. */
  tellSuppressed(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#suppressed === 0) return
    if (!this.#parentKeepsUp) return this.#tellSuppressedLater()
    const suppressed = this.#suppressed
    this.#suppressed = 0
    this.#write(
      'warn',
      { suppressed },
      `${suppressed} records of worker ${this.worker} of step ${this.#step} were suppressed: it wrote more than ${RECORDS.perSecond} a second, or failed more than ${FAILURES.perSecond} tasks a second`,
    )
  }

  #method(level: LogLevel, bucket: TokenBucket): LogMethod {
    return (data: object | string, message?: string): void => {
      if (!this.#mayWrite(bucket)) return
      if (typeof data === 'string') this.#write(level, {}, data)
      else this.#write(level, data, message)
    }
  }

  #mayWrite(bucket: TokenBucket): boolean {
    const hasRoom =
      this.#parentKeepsUp || (bucket !== this.#chatter && this.#sentBehind < TROUBLE_BEHIND)
    if (hasRoom && bucket.take()) return true
    this.#suppressed++
    this.#tellSuppressedLater()
    return false
  }

  #tellSuppressedLater(): void {
    this.#timer ??= setTimeout(() => this.tellSuppressed(), TELL_SUPPRESSED_AFTER).unref()
  }

  #write(level: LogLevel, data: object, message: string | undefined): void {
    try {
      const text = message ?? (data instanceof Error ? data.message : '')
      this.#sendRecord({ level, message: String(reduce(text)), data: encodeReport(data) })
    } catch {
      this.#suppressed++
      this.#tellSuppressedLater()
    }
  }

  #sendRecord(record: LogRecord): void {
    let isLast = false
    const keepsUp = this.#send({ type: 'log', ...record }, () => {
      if (!isLast) return
      this.#parentKeepsUp = true
      this.#sentBehind = 0
    })
    if (keepsUp) return
    isLast = true
    this.#parentKeepsUp = false
    this.#sentBehind++
  }
}
