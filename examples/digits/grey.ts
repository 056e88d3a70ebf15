/** From colours and opacity to one channel in which ink and paper differ. */

import { percentile } from './levels.ts'

/** Levels (of 255) of brightness below which colours are looked at one by one. */
const LOW_CONTRAST = 64
/** Pixels more opaque than this belong to what was drawn or photographed. */
const OPAQUE = 128
/** Levels (of 255) within which the opaque part counts as one colour: a pen without paper. */
const ONE_COLOUR = 64
/** Share of pixels that have to be transparent before transparency means anything. */
const SOME_TRANSPARENCY = 0.01

/**
 * RGBA to grey, 0..255. Where a picture has transparent parts there are two kinds: ink of one
 * colour without paper, where opacity itself is the ink whatever its colour; and a picture with
 * transparent margins, which are filled with the picture's median.
 *
 * @param rgba - four bytes per pixel, opacity not multiplied in
 */
export function toGrey(rgba: Uint8Array): Float32Array {
  const count = rgba.length / 4
  let transparent = 0
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at]! <= OPAQUE) transparent++
  if (transparent < count * SOME_TRANSPARENCY) return bestChannel(rgba)

  const grey = brightness(rgba)
  const opaque = grey.filter((_, i) => rgba[i * 4 + 3]! > OPAQUE)
  const penOnly = percentile(opaque, 0.95) - percentile(opaque, 0.05) < ONE_COLOUR
  const paper = percentile(opaque, 0.5)
  return grey.map((level, i) => {
    const opacity = rgba[i * 4 + 3]! / 255
    return penOnly ? 255 * (1 - opacity) : level * opacity + paper * (1 - opacity)
  })
}

/** Brightness, or the one of red, green and blue that tells more, as for yellow on white. */
function bestChannel(rgba: Uint8Array): Float32Array {
  let best = brightness(rgba)
  let contrast = range(best)
  if (contrast >= LOW_CONTRAST) return best
  for (const channel of [0, 1, 2]) {
    const levels = best.map((_, i) => rgba[i * 4 + channel]!)
    if (range(levels) <= contrast + LOW_CONTRAST) continue
    best = levels
    contrast = range(levels)
  }
  return best
}

function brightness(rgba: Uint8Array): Float32Array {
  const grey = new Float32Array(rgba.length / 4)
  for (let i = 0, at = 0; i < grey.length; i++, at += 4) {
    grey[i] = 0.299 * rgba[at]! + 0.587 * rgba[at + 1]! + 0.114 * rgba[at + 2]!
  }
  return grey
}

function range(levels: Float32Array): number {
  let [low, high] = [255, 0]
  for (const level of levels) {
    low = Math.min(low, level)
    high = Math.max(high, level)
  }
  return high - low
}
