/** A smooth surface through the paper of a picture, blind to the ink on it. */

import type { Picture } from './picture.ts'
import { percentile } from './levels.ts'

const TERMS = 6
/** Enough pixels for six coefficients, and few enough to be quick. */
const MAX_SAMPLES = 2_000
const ROUNDS = 5
/** Levels (of 255) of noise that every picture is granted. */
const LEAST_NOISE = 2

/**
 * Fits `c0 + c1 x + c2 y + c3 x² + c4 xy + c5 y²` (x and y in -1..1 over the picture) to the pixels
 * that `belongs` names, by least squares that are weighted anew in each round: what lies far off,
 * as ink does, soon weighs nothing. The start is the median.
 *
 * @returns the height of the surface at every pixel of the picture
 */
export function fitSurface(
  { values, width, height }: Picture,
  belongs: (x: number, y: number) => boolean,
): Float32Array {
  const stride = Math.max(1, Math.round(Math.sqrt((width * height) / MAX_SAMPLES)))
  const us: number[] = []
  const vs: number[] = []
  const seen: number[] = []
  for (let y = 0; y < height; y += stride) {
    for (let x = 0; x < width; x += stride) {
      if (!belongs(x, y)) continue
      us.push(across(x, width))
      vs.push(across(y, height))
      seen.push(values[y * width + x]!)
    }
  }
  const coefficients = new Float64Array(TERMS)
  if (seen.length === 0) return new Float32Array(values.length)
  coefficients[0] = percentile(seen, 0.5)

  const row = new Float64Array(TERMS + 1) // one sample: the six terms and its value
  const sums = new Float64Array(TERMS * (TERMS + 1)) // normal equations, right-hand side last
  for (let round = 0; round < ROUNDS; round++) {
    const off = seen.map((value, i) => value - valueAt(coefficients, us[i]!, vs[i]!))
    const noise = Math.max(LEAST_NOISE, 3 * percentile(off.map(Math.abs), 0.5))
    sums.fill(0)
    for (let i = 0; i < seen.length; i++) {
      const weight = 1 / (1 + (off[i]! / noise) ** 2) ** 2
      const [u, v] = [us[i]!, vs[i]!]
      row[0] = 1
      row[1] = u
      row[2] = v
      row[3] = u * u
      row[4] = u * v
      row[5] = v * v
      row[6] = seen[i]!
      for (let j = 0; j < TERMS; j++) {
        for (let k = 0; k <= TERMS; k++) sums[j * (TERMS + 1) + k]! += weight * row[j]! * row[k]!
      }
    }
    coefficients.set(solve(sums, seen.length))
  }
  return everywhere(coefficients, width, height)
}

function everywhere(c: Float64Array, width: number, height: number): Float32Array {
  const surface = new Float32Array(width * height)
  for (let y = 0, i = 0; y < height; y++) {
    const v = across(y, height)
    const constant = c[0]! + c[2]! * v + c[5]! * v * v
    const linear = c[1]! + c[4]! * v
    for (let x = 0; x < width; x++, i++) {
      const u = across(x, width)
      surface[i] = constant + (linear + c[3]! * u) * u
    }
  }
  return surface
}

function valueAt(c: Float64Array, u: number, v: number): number {
  return c[0]! + c[1]! * u + c[2]! * v + c[3]! * u * u + c[4]! * u * v + c[5]! * v * v
}

function across(at: number, length: number): number {
  return length > 1 ? (2 * at) / (length - 1) - 1 : 0
}

/** Gauss elimination; a slight pull towards 0 on all but the constant keeps it solvable. */
function solve(sums: Float64Array, samples: number): Float64Array {
  const width = TERMS + 1
  for (let i = 1; i < TERMS; i++) sums[i * width + i]! += samples * 1e-4
  for (let column = 0; column < TERMS; column++) {
    let pivot = column
    for (let row = column + 1; row < TERMS; row++) {
      if (Math.abs(sums[row * width + column]!) > Math.abs(sums[pivot * width + column]!))
        pivot = row
    }
    for (let j = 0; j < width; j++) {
      const held = sums[column * width + j]!
      sums[column * width + j] = sums[pivot * width + j]!
      sums[pivot * width + j] = held
    }
    const divisor = sums[column * width + column]! || 1
    for (let row = 0; row < TERMS; row++) {
      if (row === column) continue
      const factor = sums[row * width + column]! / divisor
      for (let j = column; j < width; j++) {
        sums[row * width + j]! -= factor * sums[column * width + j]!
      }
    }
  }
  const coefficients = new Float64Array(TERMS)
  for (let i = 0; i < TERMS; i++) {
    coefficients[i] = sums[i * width + TERMS]! / (sums[i * width + i]! || 1)
  }
  return coefficients
}
