/** From errors to what the sender of a request is told. */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { AqueductError, type AqueductErrorCode } from 'aqueduct-ts'
import type { FastifyReply } from 'fastify'

/** What the sender of a request learns of an error, and nothing that is none of their business. */
export interface HttpError {
  readonly status: number
  /** Stable, for programs. */
  readonly code: string
  /** For people. */
  readonly message: string
  /** Seconds after which another attempt makes sense. */
  readonly retryAfter?: number
}

const BUSY = { status: 503, message: 'The service is busy. Try again in a moment.', retryAfter: 1 }
const AWAY = { status: 503, message: 'The service is starting or stopping.', retryAfter: 2 }

/** The errors of a flow that are not failures of the service; all others are. */
const REFUSALS: Partial<Record<AqueductErrorCode, Omit<HttpError, 'code'>>> = {
  AQ_QUEUE_FULL: BUSY,
  AQ_OUT_OF_MEMORY: BUSY,
  AQ_NOT_RUNNING: AWAY,
  AQ_STOPPED: AWAY,
  AQ_TIMEOUT: { status: 504, message: 'There was no answer in time.' },
  AQ_PAYLOAD_TOO_LARGE: { status: 413, message: 'The body is too large.' },
  AQ_CANCELLED: { status: 499, message: 'The client has hung up.' }, // nobody reads this
}

/** Which status an error stands for, and what its sender may know about it. */
export function toHttpError(error: unknown): HttpError {
  if (AqueductError.is(error)) {
    const refusal = REFUSALS[error.code]
    if (refusal !== undefined) return { code: error.code, ...refusal }
  } else if (error instanceof Error && 'statusCode' in error) {
    // What Fastify finds wrong with a request: its messages are meant for the sender.
    const { statusCode: status, message } = error
    const code = 'code' in error ? String(error.code) : 'BAD_REQUEST'
    if (typeof status === 'number' && status >= 400 && status < 500)
      return { status, code, message }
  }
  return { status: 500, code: 'INTERNAL', message: 'The service failed. This is not your fault.' }
}

/** Answers with an error: `{ "error": { "code", "message" } }`. */
export function sendError(error: unknown, reply: FastifyReply): void {
  const { status, code, message, retryAfter } = toHttpError(error)
  if (status === 500) console.error(error) // the sender is told no details, the log is
  // Closing at once would cut off a client that still sends, before it has read this.
  if (status === 413) reply.removeHeader('connection')
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter)
  void reply.code(status).send({ error: { code, message } })
}

/** The same for what is not even a request. */
export function refuseConnection(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const status = CONNECTION_ERRORS[error.code ?? ''] ?? 400
  const code = error.code ?? 'BAD_REQUEST'
  const body = JSON.stringify({ error: { code, message: STATUS_CODES[status] } })
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
}

const CONNECTION_ERRORS: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
}
