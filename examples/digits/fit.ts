/**
 * The geometry of MNIST. `train/normalise.py` is its twin: what the model is trained on and what it
 * is asked about must be cut, scaled and centred by the same rule, so change both or neither.
 */

import type { Picture } from './picture.ts'

/** Pixels of a side of what the model reads. */
export const SIZE = 28
/** Pixels of the longer side of the digit inside it. */
const BOX = 20
/** Ink below this share of the darkest is not part of the digit's box. */
const EDGE = 0.15

/**
 * Fits ink (0..1, somewhere in a picture) into 28 x 28.
 *
 * @param ink - must hold some ink: at least one value above 0
 * @returns 784 values in 0..1, row after row
 */
export function fit(ink: Picture): Float32Array {
  const box = inkBox(ink)
  const scale = Math.max(box.width, box.height) / BOX // source pixels per output pixel
  // The centring may not push ink out of the picture.
  const margin = ((SIZE - BOX) / 2) * scale
  const y = clamp(box.massY, box.height / 2 - margin, box.height / 2 + margin)
  const x = clamp(box.massX, box.width / 2 - margin, box.width / 2 + margin)
  const down = filterWeights(box.height, y, scale)
  const across = filterWeights(box.width, x, scale)

  const half = new Float32Array(SIZE * box.width) // squeezed vertically, not yet horizontally
  for (let row = 0; row < SIZE; row++) {
    for (let from = 0; from < box.height; from++) {
      const weight = down[row * box.height + from]!
      if (weight === 0) continue
      const source = (box.top + from) * ink.width + box.left
      for (let column = 0; column < box.width; column++) {
        half[row * box.width + column]! += weight * ink.values[source + column]!
      }
    }
  }
  const fitted = new Float32Array(SIZE * SIZE)
  for (let row = 0; row < SIZE; row++) {
    for (let column = 0; column < SIZE; column++) {
      let sum = 0
      for (let from = 0; from < box.width; from++) {
        sum += across[column * box.width + from]! * half[row * box.width + from]!
      }
      fitted[row * SIZE + column] = clamp(sum, 0, 1)
    }
  }
  return fitted
}

interface InkBox {
  readonly top: number
  readonly left: number
  readonly width: number
  readonly height: number
  /** Centre of mass, in pixels from the top and the left of the box. */
  readonly massY: number
  readonly massX: number
}

function inkBox({ values, width, height }: Picture): InkBox {
  let darkest = 0
  for (const value of values) darkest = Math.max(darkest, value)
  let [top, left, bottom, right] = [height, width, 0, 0]
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (values[y * width + x]! <= EDGE * darkest) continue
      top = Math.min(top, y)
      bottom = y + 1
      left = Math.min(left, x)
      right = Math.max(right, x + 1)
    }
  }
  let [mass, massY, massX] = [0, 0, 0]
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const value = values[y * width + x]!
      mass += value
      massY += value * (y - top + 0.5)
      massX += value * (x - left + 0.5)
    }
  }
  return {
    top,
    left,
    width: right - left,
    height: bottom - top,
    massY: massY / mass,
    massX: massX / mass,
  }
}

/**
 * A triangle filter, [SIZE, source]: row i weighs the source pixels that output pixel i sees, so
 * that shrinking averages and enlarging interpolates. `centre` lands in the middle of the output.
 */
function filterWeights(source: number, centre: number, scale: number): Float32Array {
  const radius = Math.max(scale, 1)
  const weights = new Float32Array(SIZE * source)
  for (let i = 0; i < SIZE; i++) {
    const at = centre + (i + 0.5 - SIZE / 2) * scale
    const first = Math.floor(at - radius)
    const last = Math.ceil(at + radius)
    let total = 0 // over an endless source, so that beyond the edge is paper
    for (let j = first; j <= last; j++) total += triangle(j + 0.5 - at, radius)
    for (let j = Math.max(first, 0); j <= Math.min(last, source - 1); j++) {
      weights[i * source + j] = triangle(j + 0.5 - at, radius) / total
    }
  }
  return weights
}

function triangle(distance: number, radius: number): number {
  return Math.max(0, 1 - Math.abs(distance) / radius)
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high)
}
