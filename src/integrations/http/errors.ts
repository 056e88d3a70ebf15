import { STATUS_CODES } from 'node:http'
import { AqueductError, type AqueductErrorCode } from '../../index.ts'

/** What the sender of a request is told of an error, and nothing that is none of their business. */
export interface HttpError {
  readonly status: number
  /** Stable, for programs. */
  readonly code: string
  /** For people. */
  readonly message: string
  /** Headers that belong to the answer: `retry-after`, in seconds, where another attempt makes sense. */
  readonly headers: Readonly<Record<string, string>>
}

type Answer = Omit<HttpError, 'code'>

const BUSY: Answer = {
  status: 503,
  message: 'The service is busy. Try again in a moment.',
  headers: { 'retry-after': '1' },
}
const AWAY: Answer = {
  status: 503,
  message: 'The service is starting or stopping.',
  headers: { 'retry-after': '2' },
}
const LATE: Answer = { status: 504, message: 'There was no answer in time.', headers: {} }
const TOO_LARGE: Answer = { status: 413, message: 'The body is too large.', headers: {} }
const BAD_BODY: Answer = {
  status: 400,
  message: 'The body is not what it was said to be.',
  headers: {},
}
// Nobody reads this one but the log of requests.
const HUNG_UP: Answer = { status: 499, message: 'The client has hung up.', headers: {} }
const FAILED: HttpError = {
  status: 500,
  code: 'INTERNAL',
  message: 'The service failed. This is not your fault.',
  headers: {},
}

/** Whole seconds, at least one: what the header takes. */
const inSeconds = (ms: number): string => String(Math.max(1, Math.ceil(ms / 1000)))

/** What each error of a flow comes to; without an answer of its own it is a failure of the service. */
const ANSWERS: Readonly<Record<AqueductErrorCode, Answer | undefined>> = {
  AQ_QUEUE_FULL: BUSY,
  AQ_OUT_OF_MEMORY: BUSY,
  AQ_NOT_RUNNING: AWAY,
  AQ_STOPPED: AWAY,
  AQ_START_FAILED: AWAY,
  AQ_START_TIMEOUT: AWAY,
  AQ_TIMEOUT: LATE,
  AQ_PAYLOAD_TOO_LARGE: TOO_LARGE,
  AQ_BODY_SHORT: BAD_BODY,
  AQ_BODY_LONG: BAD_BODY,
  AQ_BODY_NOT_BINARY: undefined, // the application gave it the wrong stream
  AQ_BODY_ABORTED: HUNG_UP,
  AQ_CANCELLED: HUNG_UP,
  AQ_HANDLER_FAILED: undefined,
  AQ_INPUT_WRITTEN: undefined,
  AQ_WORKER_DIED: undefined,
  AQ_TASK_POISONED: undefined,
  AQ_HANDLE_TIMEOUT: undefined,
  AQ_INVALID_OPTION: undefined,
  AQ_INVALID_HANDLER: undefined,
  AQ_INVALID_TASK: undefined,
  AQ_TASK_IN_FLIGHT: undefined,
  AQ_FIELD_SHARED: undefined,
  AQ_NOT_IN_HANDLER: undefined,
  AQ_UNSERIALIZABLE: undefined,
  AQ_CORRUPT: undefined,
  AQ_FLOW_IN_WORKER: undefined,
  AQ_UNSUPPORTED: undefined,
}

/**
 * Which status an error stands for, and what the sender of the request may know about it: for the error handler of any
 * framework. Log the error itself where the status is 500: the sender is told no details.
 *
 * | error | status |
 * |---|---|
 * | anything with a `statusCode` from 400 to 499: bad input, a body that is too large, a caller over its quota | that one, with its `code`, `message` and `headers` |
 * | `PayloadTooLargeError` | 413 |
 * | `BodyError`: a body that is shorter or longer than it says | 400 |
 * | `TaskCancelledError`, a `BodyError` of a body that was cut off: the client has hung up | 499 |
 * | `QueueFullError` | 503, with its `retryAfter` as `retry-after`, in whole seconds |
 * | `OutOfMemoryError`, `NotRunningError`, `FlowStoppedError`, `StartError` | 503, with `retry-after` |
 * | `TaskTimeoutError` | 504 |
 * | all others: `HandlerError`, `WorkerDiedError`, … | 500 |
 *
 * @example
 * ```ts
 * import { QueueFullError } from 'aqueduct-ts'
 * import { toHttpError } from 'aqueduct-ts/http'
 *
 * const { status, code, headers } = toHttpError(new QueueFullError(100, { retryAfter: 1_200 }))
 * console.log(status, code, headers) // 503 AQ_QUEUE_FULL { 'retry-after': '2' }
 * ```
 */
export function toHttpError(error: unknown): HttpError {
  if (AqueductError.is(error)) {
    // A newer copy of the library may have codes that this one does not know.
    const answer = ANSWERS[error.code]
    if (answer === undefined) return FAILED
    const { retryAfter } = error as { readonly retryAfter?: unknown }
    if (error.code !== 'AQ_QUEUE_FULL' || typeof retryAfter !== 'number')
      return { code: error.code, ...answer }
    return { code: error.code, ...answer, headers: { 'retry-after': inSeconds(retryAfter) } }
  }
  return refusal(error) ?? FAILED
}

/** How Fastify, Express and http-errors mark the errors that are meant for the sender. */
interface MarkedError extends Error {
  readonly statusCode?: unknown
  readonly code?: unknown
  readonly headers?: unknown
  readonly expose?: unknown
}

/** What a framework or the application finds wrong with a request: its words are meant for the sender. */
function refusal(error: unknown): HttpError | undefined {
  if (!(error instanceof Error)) return undefined
  const { statusCode: status, code, headers, expose } = error as MarkedError
  if (typeof status !== 'number' || !(status >= 400 && status < 500)) return undefined
  const reason = STATUS_CODES[status] ?? 'Bad Request'
  return {
    status,
    code: typeof code === 'string' ? code : reason.toUpperCase().replaceAll(/[^A-Z]+/g, '_'),
    message: expose === false ? reason : error.message,
    headers: typeof headers === 'object' && headers !== null ? onlyStrings(headers) : {},
  }
}

const onlyStrings = (headers: object): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
