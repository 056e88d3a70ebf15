/** A sheet of paper on a table, a canvas in a frame: a picture within the picture. */

import { components, type Component } from './components.ts'
import type { Picture } from './picture.ts'

/** A patch is a sheet when its box takes this share of the picture … */
const SIZE = 0.3
/** … its sides are of a length, more or less, … */
const PROPORTION = 0.5
/** … and it fills this share of the box, as no digit does that can be read, … */
const FILL = 0.7
/** … or this share while it lies along that much of the four sides of the box. */
const FILL_UPRIGHT = 0.6
const SIDES = 0.75
/** Pixels from the edge of a sheet that are neither sheet nor table. */
const EDGE = 3

/** Whether a patch of what stands out in a picture is a sheet, rather than a digit. */
export function isSheet(
  { label, mass, left, right, top, bottom }: Component,
  labels: Uint16Array,
  { width, height }: Picture,
): boolean {
  const [boxWidth, boxHeight] = [right - left, bottom - top]
  const box = boxWidth * boxHeight
  if (box < SIZE * width * height) return false
  if (Math.min(boxWidth, boxHeight) < PROPORTION * Math.max(boxWidth, boxHeight)) return false
  if (mass >= FILL * box) return true
  if (mass < FILL_UPRIGHT * box) return false

  let [along, count] = [0, 0]
  const look = (x: number, y: number): void => {
    count++
    if (labels[y * width + x] === label) along++
  }
  for (let x = left + EDGE; x < right - EDGE; x++) {
    look(x, top + EDGE)
    look(x, bottom - 1 - EDGE)
  }
  for (let y = top + EDGE; y < bottom - EDGE; y++) {
    look(left + EDGE, y)
    look(right - 1 - EDGE, y)
  }
  return along >= SIDES * count
}

/**
 * The part of the picture with the sheet. What surrounds the sheet, where it lies askew, is painted
 * in its mean colour; what it surrounds, the digit, stays.
 */
export function cutSheet(
  { values, width: fullWidth }: Picture,
  { label, left, right, top, bottom }: Component,
  labels: Uint16Array,
): Picture {
  const [width, height] = [right - left, bottom - top]
  const part = new Float32Array(width * height)
  const other = new Float32Array(width * height) // 1 where the sheet is not
  let [sum, area] = [0, 0]
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const from = (top + y) * fullWidth + left + x
      part[i] = values[from]!
      other[i] = labels[from] === label ? 0 : 1
      if (other[i] === 1) continue
      sum += values[from]!
      area++
    }
  }
  const holes = components({ values: other, width, height }, 0.5)
  const outside = new Set<number>()
  for (const hole of holes.patches) {
    if (hole.left === 0 || hole.top === 0 || hole.right === width || hole.bottom === height) {
      outside.add(hole.label)
    }
  }
  const paint = (x: number, y: number): void => {
    for (let ny = Math.max(y - EDGE, 0); ny <= Math.min(y + EDGE, height - 1); ny++) {
      part.fill(
        sum / area,
        ny * width + Math.max(x - EDGE, 0),
        ny * width + Math.min(x + EDGE + 1, width),
      )
    }
  }
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const atEdge = x === 0 || y === 0 || x === width - 1 || y === height - 1
      if (atEdge || outside.has(holes.labels[i]!)) paint(x, y)
    }
  }
  return { values: part, width, height }
}
