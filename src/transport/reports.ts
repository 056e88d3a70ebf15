import { toError } from '../errors.ts'
import { FieldDecoder, FieldEncoder, type PayloadOpener, type PayloadPlacer } from './codec.ts'
import { corrupt } from './codec-error.ts'
import { reduce } from './reduce.ts'

/** What a report from a worker is about: the data of a log record, or an error. */
export type ReportFields = Readonly<Record<string, unknown>>

const encoder = new FieldEncoder({ payloadThreshold: Infinity })
const decoder = new FieldDecoder()
const room = new Uint8Array(8_192)
const inline: PayloadPlacer = { place: () => undefined }
const noPayloads: PayloadOpener = {
  open: () => {
    throw corrupt('a report has no payloads')
  },
}

/** Any data as bytes that can travel over a control channel: reduced to what {@link reduce} keeps of it. */
export function encodeReport(data: object): Uint8Array {
  const named = data instanceof Error ? { err: data } : data
  const reduced = reduce(named)
  const isRecord = typeof reduced === 'object' && reduced !== null && isPlain(reduced)
  const length = encoder.encode(
    isRecord ? reduced : { data: reduced },
    room,
    0,
    room.length,
    inline,
  )
  return length < 0 ? encoder.overflow.slice() : room.slice(0, length)
}

/** What {@link encodeReport} was given; errors are errors again. */
export function decodeReport(bytes: Uint8Array): ReportFields {
  const fields: Record<string, unknown> = {}
  decoder.decodeInto(fields, bytes, 0, bytes.byteLength, noPayloads)
  return fields
}

/** The error in a report: its `err`. */
export function decodeError(report: Uint8Array): Error {
  return toError(decodeReport(report)['err'])
}

const isPlain = (value: object): boolean => Object.getPrototypeOf(value) === Object.prototype
