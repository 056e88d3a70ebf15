/** Pictures that are small to send and large to decode, or say that they are. */
import { crc32, deflateSync } from 'node:zlib'

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(data.length)
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, sum])
}

/** A PNG in one bit per pixel that says it is so large, with these rows. */
function png(
  width: number,
  height: number,
  rows: Uint8Array,
  before: readonly Buffer[] = [],
): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header[8] = 1 // bits; the rest is 0: grey, deflate, no filters, not interlaced
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    ...before,
    chunk('IDAT', deflateSync(rows, { level: 1 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

const bytesOf = (width: number, height: number): number => (Math.ceil(width / 8) + 1) * height

/** 30,000 by 30,000 zeros: 900 megapixels from half a megabyte. */
export const hugePng = (): Buffer => png(30_000, 30_000, new Uint8Array(bytesOf(30_000, 30_000)))

/** Just below the limit of pixels, and nothing on it. */
export const largestPng = (): Buffer => png(5_600, 5_600, new Uint8Array(bytesOf(5_600, 5_600)))

/** A few pixels by its header, and rows for millions. */
export const overfullPng = (): Buffer => png(28, 28, new Uint8Array(64 * 2 ** 20))

/** Dimensions that no memory holds, and hardly any data. */
export const boundlessPng = (): Buffer => png(2 ** 31 - 1, 2 ** 31 - 1, new Uint8Array(16))

/** A text beside the picture that is far larger than the picture. */
export function wordyPng(): Buffer {
  const text = Buffer.concat([
    Buffer.from('Comment\0\0', 'latin1'),
    deflateSync(new Uint8Array(128 * 2 ** 20), { level: 1 }),
  ])
  return png(28, 28, new Uint8Array(bytesOf(28, 28)), [chunk('zTXt', text)])
}

/** The headers of a JPEG of 65,500 by 65,500 pixels, without the picture. */
export const boundlessJpeg = (): Buffer =>
  Buffer.from(
    'ffd8ffc0001108ffdcffdc03012200021101031101ffda000c03010002110311003f00d2cf20ffd9',
    'hex',
  )
