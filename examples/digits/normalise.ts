/**
 * From the bytes of any picture of a digit to what the model reads: 28 x 28 numbers, as in MNIST.
 *
 * sharp decodes and shrinks, outside JavaScript; what is left, at most 192 pixels wide, is searched
 * for ink in `ink.ts` and brought into the geometry of MNIST in `fit.ts`.
 */

import sharp from 'sharp'
import { fit } from './fit.ts'
import { toGrey } from './grey.ts'
import { findInk } from './ink.ts'
import type { Picture } from './picture.ts'

/** Pixels (width x height) above which a picture is refused before it is decoded: 32 megapixels. */
export const MAX_INPUT_PIXELS = 32_000_000

/** Pixels of the longer side at which the ink is looked for: larger pictures are shrunk to it … */
const WORK_SIDE_MAX = 192
/** … and smaller ones enlarged to it, so that a stroke is always some pixels wide. */
const WORK_SIDE_MIN = 112

/** Why a picture cannot be read; see {@link BadImageError}. */
export type BadImageReason =
  | 'empty'
  | 'not-an-image'
  | 'unsupported-format'
  | 'too-many-pixels'
  | 'damaged'
  | 'no-ink'

/**
 * The picture cannot be read as a digit. The fault is the sender's: an HTTP service answers 400.
 *
 * `reason` is stable, `message` is a sentence for people.
 */
export class BadImageError extends Error {
  override readonly name = 'BadImageError'
  readonly reason: BadImageReason

  constructor(reason: BadImageReason, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

/**
 * Brings a picture of one digit into the form of MNIST: ink 1 on paper 0, the digit in a box of
 * 20 x 20 with its proportions kept, its centre of mass in the middle of 28 x 28.
 *
 * Dark ink on light and light ink on dark are both understood, so is a transparent background;
 * shading of the paper is evened out, contrast stretched, specks ignored, EXIF rotation honoured.
 *
 * @param image - bytes of a PNG or JPEG file, any size up to {@link MAX_INPUT_PIXELS}
 * @returns 784 values in 0..1, row after row: shape [28, 28]
 * @throws {@link BadImageError} when there are no bytes, when they are not a PNG or JPEG or damaged,
 *   when the picture has too many pixels, and when nothing on it looks like ink
 *
 * @example
 * ```ts
 * const pixels = await normalise(await readFile('samples/seven-scanned.png'))
 * const { probabilities } = await session.run({ image: new Tensor('float32', pixels, [1, 1, 28, 28]) })
 * ```
 */
export async function normalise(image: Uint8Array): Promise<Float32Array> {
  checkFormat(image)
  const found = findInk(await decode(image))
  if (found === undefined) {
    throw new BadImageError('no-ink', 'No ink found: the picture looks blank.')
  }
  return fit(found)
}

/**
 * Looks at the first bytes only, so that no decoder but those of PNG and JPEG ever sees the input.
 */
function checkFormat(image: Uint8Array): void {
  if (image.length === 0) {
    throw new BadImageError('empty', 'The image is empty: 0 bytes.')
  }
  if (startsWith(image, '\x89PNG\r\n\x1a\n') || startsWith(image, '\xff\xd8\xff')) return
  for (const [format, offset, magic] of OTHER_FORMATS) {
    if (startsWith(image, magic, offset)) {
      throw new BadImageError('unsupported-format', `${format} is not supported: send PNG or JPEG.`)
    }
  }
  throw new BadImageError('not-an-image', 'The bytes are not an image: send PNG or JPEG.')
}

/** Formats people do send, named only so that the refusal can name them. */
const OTHER_FORMATS: readonly (readonly [format: string, offset: number, magic: string])[] = [
  ['GIF', 0, 'GIF8'],
  ['WebP', 8, 'WEBP'],
  ['AVIF', 4, 'ftypavif'],
  ['HEIC', 4, 'ftyphe'],
  ['HEIC', 4, 'ftypmif1'],
  ['TIFF', 0, 'II*\0'],
  ['TIFF', 0, 'MM\0*'],
  ['BMP', 0, 'BM'],
  ['PDF', 0, '%PDF-'],
  ['SVG', 0, '<svg'],
  ['SVG', 0, '<?xml'],
]

function startsWith(bytes: Uint8Array, magic: string, offset = 0): boolean {
  if (bytes.length < offset + magic.length) return false
  for (let i = 0; i < magic.length; i++) {
    if (bytes[offset + i] !== magic.charCodeAt(i)) return false
  }
  return true
}

/** Decoded upright, shrunk to the working size, in grey. */
async function decode(image: Uint8Array): Promise<Picture> {
  try {
    const { width: fullWidth, height: fullHeight } = await sharp(image, {
      limitInputPixels: false, // reads the header only; the answer follows with the right words
    }).metadata()
    if (fullWidth * fullHeight > MAX_INPUT_PIXELS) {
      throw new BadImageError(
        'too-many-pixels',
        `The image has too many pixels: ${fullWidth} x ${fullHeight}, ` +
          `at most ${MAX_INPUT_PIXELS / 1e6} megapixels are read.`,
      )
    }
    const longer = Math.max(fullWidth, fullHeight)
    const side = Math.min(Math.max(longer, WORK_SIDE_MIN), WORK_SIDE_MAX)
    const { data, info } = await sharp(image, {
      limitInputPixels: MAX_INPUT_PIXELS,
      failOn: 'error', // half a picture is no picture
    })
      .autoOrient()
      .resize(side, side, { fit: 'inside', kernel: longer > side ? 'linear' : 'cubic' })
      .toColourspace('srgb')
      .ensureAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    return { values: toGrey(data), width: info.width, height: info.height }
  } catch (error) {
    if (error instanceof BadImageError) throw error
    throw new BadImageError('damaged', 'The image is damaged and cannot be decoded.', {
      cause: error,
    })
  }
}
