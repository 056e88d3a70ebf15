// What an HTTP server in front of a flow needs, whichever framework it is made with.
export { toHttpError, type HttpError } from './http/errors.ts'
export { hangUpOf } from './http/hang-up.ts'
export { gracefulClose, type CloseOptions } from './http/connections.ts'
