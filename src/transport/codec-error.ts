import { CodecError } from '../errors.ts'

export { CodecError }

/** The value at `path` is `what`, which cannot travel; `wayOut` tells the user what to do. */
export function unserializable(
  path: string,
  what: string,
  wayOut: string,
  cause?: unknown,
): CodecError {
  return new CodecError('AQ_UNSERIALIZABLE', `${path} ${what}. ${wayOut}`, path, { cause })
}

/** One task at a time is encoded. */
export const sendsAnother = (): CodecError =>
  unserializable('task', 'has a getter that sends another task', 'Send that one before.')

/** The bytes are not an encoding: `why` says what is wrong with them. */
export function corrupt(why: string, cause?: unknown): CodecError {
  return new CodecError('AQ_CORRUPT', `Damaged task data in shared memory: ${why}.`, '', { cause })
}
