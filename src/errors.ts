import { inspect } from 'node:util'

/** The codes of all errors of this library: stable, documented, safe to compare with. */
export type AqueductErrorCode =
  | 'AQ_INVALID_OPTION'
  | 'AQ_INVALID_HANDLER'
  | 'AQ_INVALID_TASK'
  | 'AQ_TASK_IN_FLIGHT'
  | 'AQ_FIELD_SHARED'
  | 'AQ_NOT_IN_HANDLER'
  | 'AQ_BODY_SHORT'
  | 'AQ_BODY_LONG'
  | 'AQ_BODY_ABORTED'
  | 'AQ_BODY_NOT_BINARY'
  | 'AQ_UNSERIALIZABLE'
  | 'AQ_CORRUPT'
  | 'AQ_PAYLOAD_TOO_LARGE'
  | 'AQ_OUT_OF_MEMORY'
  | 'AQ_NOT_RUNNING'
  | 'AQ_START_FAILED'
  | 'AQ_START_TIMEOUT'
  | 'AQ_FLOW_IN_WORKER'
  | 'AQ_QUEUE_FULL'
  | 'AQ_TIMEOUT'
  | 'AQ_CANCELLED'
  | 'AQ_HANDLER_FAILED'
  | 'AQ_INPUT_WRITTEN'
  | 'AQ_WORKER_DIED'
  | 'AQ_TASK_POISONED'
  | 'AQ_HANDLE_TIMEOUT'
  | 'AQ_STOPPED'
  | 'AQ_UNSUPPORTED'

const brand = Symbol.for('aqueduct-ts.error')

/** Options of every error: the data that its message is built from, and its cause. */
export interface ErrorDetails {
  readonly cause?: unknown
}

/**
 * Base of all errors of this library. `code` is stable; the message names what was found and the way out.
 *
 * @example
 * ```ts
 * import { AqueductError } from 'aqueduct-ts'
 *
 * const error: unknown = new AqueductError('AQ_QUEUE_FULL', 'the queue is full')
 * if (AqueductError.is(error, 'AQ_QUEUE_FULL')) console.log(error.message)
 * ```
 */
export class AqueductError extends Error {
  readonly code: AqueductErrorCode

  constructor(code: AqueductErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = new.target.name
    this.code = code
    Object.defineProperty(this, brand, { value: true })
  }

  /** Whether `value` is an error of this library (of any copy of it), and of that code if one is given. */
  static is(value: unknown, code?: AqueductErrorCode): value is AqueductError {
    return (
      value instanceof Error &&
      brand in value &&
      (code === undefined || (value as unknown as AqueductError).code === code)
    )
  }
}

/** An option that is unknown, of the wrong type or out of range. Thrown at construction. */
export class InvalidOptionError extends AqueductError {
  readonly option: string

  constructor(option: string, message: string) {
    super('AQ_INVALID_OPTION', message)
    this.option = option
  }
}

/** A handler class that a worker could not find or use. */
export class InvalidHandlerError extends AqueductError {
  readonly handler: string

  constructor(handler: string, message: string, details: ErrorDetails = {}) {
    super('AQ_INVALID_HANDLER', message, details)
    this.handler = handler
  }
}

/**
 * A task of a class that the flow does not handle, one that is being processed already, one that is failed outside of a
 * handler, or a field that cannot be shared or is shared already.
 */
export class InvalidTaskError extends AqueductError {
  constructor(
    message: string,
    code:
      | 'AQ_INVALID_TASK'
      | 'AQ_TASK_IN_FLIGHT'
      | 'AQ_FIELD_SHARED'
      | 'AQ_NOT_IN_HANDLER' = 'AQ_INVALID_TASK',
  ) {
    super(code, message)
  }
}

/** What the message of a {@link BodyError} is built from. */
export interface BodyErrorDetails extends ErrorDetails {
  /** Bytes that had come by then. */
  readonly bytesReceived: number
  /** Bytes that were announced; undefined where none were. */
  readonly size: number | undefined
}

/**
 * A body that is not what it was said to be. `AQ_BODY_SHORT`: it ended before its size, or within an element of the
 * typed array that it was to become. `AQ_BODY_LONG`: it goes on beyond its size. `AQ_BODY_ABORTED`: its stream failed or
 * was closed before it ended; `cause` is the stream's error, where it had one. `AQ_BODY_NOT_BINARY`: its stream brings
 * something else than bytes.
 */
export class BodyError extends AqueductError {
  /** Bytes that had come by then. */
  readonly bytesReceived: number
  /** Bytes that were announced; undefined where none were. */
  readonly size: number | undefined

  constructor(
    code: 'AQ_BODY_SHORT' | 'AQ_BODY_LONG' | 'AQ_BODY_ABORTED' | 'AQ_BODY_NOT_BINARY',
    message: string,
    details: BodyErrorDetails,
  ) {
    super(code, message, details)
    this.bytesReceived = details.bytesReceived
    this.size = details.size
  }
}

/** A field whose value cannot travel to a worker, or a message that cannot be read. */
export class CodecError extends AqueductError {
  /** Where in the task the value was found, as `field.key[0]`. */
  readonly path: string

  constructor(
    code: 'AQ_UNSERIALIZABLE' | 'AQ_CORRUPT',
    message: string,
    path: string,
    details: ErrorDetails = {},
  ) {
    super(code, message, details)
    this.path = path
  }
}

/** A payload that does not fit the flow's shared memory even when all of it is free, or a body above its `maxSize`. */
export class PayloadTooLargeError extends AqueductError {
  /** Its size; of a body that did not say its size, what had come of it. */
  readonly bytes: number
  readonly maxBytes: number

  constructor(
    bytes: number,
    maxBytes: number,
    message = `a payload of ${bytes} bytes is larger than the ${maxBytes} bytes that a task may take of the flow's shared memory; raise the flow's \`memory\``,
  ) {
    super('AQ_PAYLOAD_TOO_LARGE', message)
    this.bytes = bytes
    this.maxBytes = maxBytes
  }
}

/** Shared memory stayed exhausted until the task's deadline. */
export class OutOfMemoryError extends AqueductError {
  constructor(message = 'the shared memory of the flow stayed exhausted until the deadline') {
    super('AQ_OUT_OF_MEMORY', message)
  }
}

/** The flow is not running: not started yet, stopping, stopped or failed. */
export class NotRunningError extends AqueductError {
  readonly state: string

  constructor(
    state: string,
    message = `the flow is ${state}: tasks are accepted between start() and stop() only`,
  ) {
    super('AQ_NOT_RUNNING', message)
    this.state = state
  }
}

/** A flow could not start. Every worker that it had started is gone when this is thrown. */
export class StartError extends AqueductError {
  constructor(
    message: string,
    details: ErrorDetails & {
      readonly code?: 'AQ_START_FAILED' | 'AQ_START_TIMEOUT' | 'AQ_FLOW_IN_WORKER'
    } = {},
  ) {
    super(details.code ?? 'AQ_START_FAILED', message, details)
  }
}

/** What the message of a {@link QueueFullError} is built from. */
export interface QueueFullDetails extends ErrorDetails {
  /** Milliseconds after which another attempt may succeed; undefined where that cannot be told. */
  readonly retryAfter?: number | undefined
  /** Milliseconds that the task would have taken, and had; undefined where `maxPending` was the limit. */
  readonly expected?: number | undefined
  readonly timeout?: number | undefined
}

/**
 * There is too much to do: `maxPending` tasks are pending already; or so many are before this one that it would not be
 * finished by its deadline (`expected`), so that it is refused at once instead of failing later.
 */
export class QueueFullError extends AqueductError {
  readonly maxPending: number
  /**
   * Milliseconds after which another attempt with the same timeout may succeed, by what is known now, if nobody else
   * comes before that; undefined where that cannot be told.
   */
  readonly retryAfter: number | undefined
  /** Milliseconds that the task was expected to take; undefined where `maxPending` was the limit. */
  readonly expected: number | undefined

  constructor(
    maxPending: number,
    { expected, timeout, retryAfter, ...rest }: QueueFullDetails = {},
  ) {
    const when = retryAfter === undefined ? 'later' : `in ${retryAfter} ms`
    super(
      'AQ_QUEUE_FULL',
      expected === undefined
        ? `${maxPending} tasks are pending, the most that the flow admits (\`maxPending\`); try again ${when}`
        : `with those before it the task would take ${Math.round(expected)} ms, and it has ${timeout} ms; try again ${when}`,
      rest,
    )
    this.maxPending = maxPending
    this.retryAfter = retryAfter
    this.expected = expected
  }
}

/** The task was not finished, or its body had not arrived, by its deadline. */
export class TaskTimeoutError extends AqueductError {
  /** The timeout that was given, in milliseconds. */
  readonly timeout: number

  constructor(timeout: number, message = `the task was not finished within ${timeout} ms`) {
    super('AQ_TIMEOUT', message)
    this.timeout = timeout
  }
}

/** The caller's signal was aborted; `cause` is its reason. */
export class TaskCancelledError extends AqueductError {
  constructor(reason: unknown, message = 'the task was cancelled by its caller') {
    super('AQ_CANCELLED', message, { cause: reason })
  }
}

/** Which worker an error comes from. */
export interface HandlerErrorOrigin {
  readonly handler?: string | undefined
  readonly worker?: number | undefined
  readonly pid?: number | undefined
}

/**
 * A handler threw for this task; `cause` is what it threw, with the worker's stack. Handler, worker and pid are
 * undefined where no worker was at fault: the step's `handleCondition` threw in the caller's process.
 */
export class HandlerError extends AqueductError {
  /** Name of the step. */
  readonly step: string
  /** Name of the handler's class. */
  readonly handler: string | undefined
  /** Index of the worker among those of its step. */
  readonly worker: number | undefined
  /** Id of the worker's process; of a thread, the process that it is in. */
  readonly pid: number | undefined

  constructor(step: string, cause: unknown, origin: HandlerErrorOrigin = {}) {
    super('AQ_HANDLER_FAILED', `step ${step} failed: ${describe(cause)}`, { cause })
    this.step = step
    this.handler = origin.handler
    this.worker = origin.worker
    this.pid = origin.pid
  }
}

/** Where a handler has written. */
export interface WrittenInput {
  /** Name of the step. */
  readonly step: string
  /** Name of the handler's class. */
  readonly handler: string
  /** Name of the task's class. */
  readonly task: string
  /** Where in the task, as `images[0]`. */
  readonly field: string
}

/**
 * In a flow with `checkInputs`: a handler has written into a payload of its input in shared memory, and does not say so.
 * All of its batch fails; `cause` is what it threw besides, if it did.
 */
export class InputWrittenError extends AqueductError {
  /** Name of the step. */
  readonly step: string
  /** Name of the handler's class. */
  readonly handler: string
  /** Name of the task's class. */
  readonly task: string
  /** Where in the task, as `images[0]`. */
  readonly field: string

  constructor({ step, handler, task, field }: WrittenInput, details: ErrorDetails = {}) {
    super(
      'AQ_INPUT_WRITTEN',
      `${handler} of step ${step} writes into '${field}' of ${task}: give it \`static readonly writesInput = true\`, so that no batch is handled twice on what it has left, or have it write into a copy (\`${field}.slice()\`)`,
      details,
    )
    this.step = step
    this.handler = handler
    this.task = task
    this.field = field
  }
}

const endOf = (exitCode: number | undefined, signal: string | undefined): string =>
  signal ?? `exit code ${exitCode}`

/**
 * The worker process or thread that was handling the task ended, and the task is not run again: its handler writes into
 * its input, or its step says `retries: 0`. `cause` is the error that ended the worker, if it could say so.
 */
export class WorkerDiedError extends AqueductError {
  readonly step: string
  readonly pid: number
  readonly exitCode: number | undefined
  readonly signal: string | undefined

  constructor(
    step: string,
    pid: number,
    exitCode: number | undefined,
    signal: string | undefined,
    details: ErrorDetails = {},
  ) {
    const how = endOf(exitCode, signal)
    super('AQ_WORKER_DIED', `the worker ${pid} of step ${step} ended with ${how}`, details)
    this.step = step
    this.pid = pid
    this.exitCode = exitCode
    this.signal = signal
  }
}

/**
 * The task is what ends workers: after the death of one that was handling it, it was run again alone, and that worker died
 * too. `cause` is the error that ended the last one, if it could say so.
 */
export class PoisonedTaskError extends AqueductError {
  /** Name of the step. */
  readonly step: string
  /** Id of the last worker's process. */
  readonly pid: number
  readonly exitCode: number | undefined
  readonly signal: string | undefined

  constructor(
    step: string,
    pid: number,
    exitCode: number | undefined,
    signal: string | undefined,
    details: ErrorDetails = {},
  ) {
    const how = endOf(exitCode, signal)
    super(
      'AQ_TASK_POISONED',
      `a worker of step ${step} died while it handled this task; it was run again alone, and the worker ${pid} ended with ${how}: it is not run any more`,
      details,
    )
    this.step = step
    this.pid = pid
    this.exitCode = exitCode
    this.signal = signal
  }
}

/**
 * The handler of a step was busy with this task for longer than the step's `handleTimeout`, and its worker was ended: with
 * this task alone, or with a batch of which no task can be run again.
 */
export class HandlerTimeoutError extends AqueductError {
  /** Name of the step. */
  readonly step: string
  /** Id of the worker's process. */
  readonly pid: number
  /** The step's, in milliseconds. */
  readonly handleTimeout: number

  constructor(step: string, pid: number, handleTimeout: number) {
    super(
      'AQ_HANDLE_TIMEOUT',
      `the handler of step ${step} was busy with this task for longer than its \`handleTimeout\` of ${handleTimeout} ms; the worker ${pid} was ended`,
    )
    this.step = step
    this.pid = pid
    this.handleTimeout = handleTimeout
  }
}

/** The flow was stopped before the task was finished, or before its body had arrived; `cause` says why, if it was not `stop()`. */
export class FlowStoppedError extends AqueductError {
  constructor(
    details: ErrorDetails = {},
    message = 'the flow was stopped before the task was finished',
  ) {
    super('AQ_STOPPED', message, details)
  }
}

/** What was thrown, as an error: user code may throw anything. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown })
}

/** What was thrown, in a message. */
export function describe(thrown: unknown): string {
  if (thrown instanceof Error) return `${thrown.name}: ${thrown.message}`
  return typeof thrown === 'string' ? thrown : inspect(thrown)
}
