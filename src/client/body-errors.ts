import { BodyError, InvalidOptionError, PayloadTooLargeError } from '../errors.ts'

/** What a body was said to be. */
export interface BodySize {
  /** Bytes that it brings, exactly; undefined where that is not known. */
  readonly size: number | undefined
  /** Most bytes that it may bring. */
  readonly maxSize: number | undefined
  /** It has to be a whole number of elements of so many bytes. */
  readonly elementBytes: number
}

/** What is wrong with a size, before anything has come: there can be no such body. */
export function sizeError(
  { size, maxSize, elementBytes }: BodySize,
  maxBytes: number,
): Error | undefined {
  if (size === undefined) return undefined
  if (maxSize !== undefined && size > maxSize) return aboveMaxSize(size, maxSize)
  if (size > maxBytes) return new PayloadTooLargeError(size, maxBytes)
  if (size % elementBytes === 0) return undefined
  return new BodyError(
    'AQ_BODY_SHORT',
    `a body of ${size} bytes is no whole number of elements of ${elementBytes} bytes`,
    { bytesReceived: 0, size },
  )
}

/** More has come than may; `limit` is how much may. */
export function tooLong({ size, maxSize }: BodySize, bytesReceived: number, limit: number): Error {
  if (size !== undefined) {
    const message = `the body goes on after the ${size} bytes of its size`
    return new BodyError('AQ_BODY_LONG', message, { bytesReceived, size })
  }
  return limit === maxSize
    ? aboveMaxSize(bytesReceived, maxSize)
    : new PayloadTooLargeError(bytesReceived, limit)
}

/** What is wrong with a body that has ended. */
export function endError(
  { size, elementBytes }: BodySize,
  bytesReceived: number,
): Error | undefined {
  if (size !== undefined && bytesReceived < size) return tooShort('ended', size, bytesReceived)
  if (bytesReceived % elementBytes === 0) return undefined
  return tooShort(`ended within an element of ${elementBytes} bytes,`, size, bytesReceived)
}

const tooShort = (how: string, size: number | undefined, bytesReceived: number): BodyError =>
  new BodyError('AQ_BODY_SHORT', `the body ${how} after ${progress(size, bytesReceived)}`, {
    bytesReceived,
    size,
  })

/** The stream failed, or was closed. */
export const cutOff = ({ size }: BodySize, bytesReceived: number, cause: unknown): BodyError =>
  new BodyError('AQ_BODY_ABORTED', `the body was cut off after ${progress(size, bytesReceived)}`, {
    bytesReceived,
    size,
    cause,
  })

const progress = (size: number | undefined, bytesReceived: number): string =>
  size === undefined ? `${bytesReceived} bytes` : `${bytesReceived} of ${size} bytes`

/** The stream brings something else. */
export function notBinary({ size }: BodySize, bytesReceived: number, chunk: unknown): BodyError {
  const what = typeof chunk === 'string' ? 'strings' : 'chunks that are no Uint8Array'
  return new BodyError(
    'AQ_BODY_NOT_BINARY',
    `the stream brings ${what}; hand over the stream of bytes, without setEncoding() or a decoder`,
    { bytesReceived, size },
  )
}

/** The parser of a form ends a part that is too large for it as if it were complete. */
export const truncated = (bytes: number): PayloadTooLargeError =>
  new PayloadTooLargeError(
    bytes,
    bytes,
    `the stream was cut after ${bytes} bytes by a limit of its own (a multipart parser's \`fileSize\`)`,
  )

/** There was nothing left to read. */
export const consumed = (): InvalidOptionError =>
  new InvalidOptionError(
    'source',
    'the stream has been read to its end already; keep a body parser from doing so, or assign to the field what it made',
  )

const aboveMaxSize = (bytes: number, maxSize: number): PayloadTooLargeError =>
  new PayloadTooLargeError(
    bytes,
    maxSize,
    `a body of ${bytes} bytes or more is larger than the ${maxSize} bytes of \`maxSize\``,
  )
