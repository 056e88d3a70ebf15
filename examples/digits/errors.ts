/** How the service answers errors: `{ "error": { "code", "message" } }`, whatever went wrong. */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { toHttpError } from 'aqueduct-ts/http'
import type { FastifyReply } from 'fastify'

/** Answers with an error of a flow, of Fastify or of this program. */
export function sendError(error: unknown, reply: FastifyReply): void {
  const { status, code, message, headers } = toHttpError(error)
  if (status === 500) console.error(error) // the sender is told no details, the log is
  // What is left of a body that was refused is read and thrown away: its sender may read the answer only after it.
  reply.request.raw.resume()
  void reply.code(status).headers(headers).send({ error: { code, message } })
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
