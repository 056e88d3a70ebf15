/**
 * Finds the ink in a grey picture, whichever way round it is, on paper that is not evenly lit.
 *
 * The paper is taken for a smooth surface, a quadratic polynomial in x and y: fitted first to the
 * rim of the picture, which is mostly paper, then to all that is not ink. Ink is what differs from
 * it, in the direction in which more differs. Unlike a local threshold this does not care how
 * fat the strokes are.
 */

import { components, type Component } from './components.ts'
import { otsu, percentile } from './levels.ts'
import type { Picture } from './picture.ts'
import { cutSheet, isSheet } from './sheet.ts'
import { fitSurface } from './surface.ts'

/** Levels (of 255) by which ink has to differ from the paper. */
const MIN_CONTRAST = 16
/** Width of the rim, as a share of the shorter side. */
const RIM = 0.06
/** Ink is kept from this share of its full strength on: below are shadows, JPEG rings, pencil dust. */
const FAINTEST = 0.15
/** A patch of ink smaller than this share of the largest is a speck. */
const SPECK = 0.05
/** A patch of which this share lies on the rim is the edge of a scan. */
const ALONG_RIM = 0.9
/** Pixels of the smallest patch that can be a digit. */
const MIN_PATCH = 20

/**
 * @param grey - values in 0..255
 * @returns ink in 0..1, of the size of the picture or of the sheet found in it; nothing where there
 *   is no ink
 */
export function findInk(grey: Picture): Picture | undefined {
  const found = separate(grey)
  if (found === undefined) return undefined
  if (!isSheet(found.largest, found.labels, grey)) return found.ink
  // A sheet on a table, a canvas in a frame: the digit is what differs inside.
  return (separate(cutSheet(grey, found.largest, found.labels)) ?? found).ink
}

interface Separated {
  /** 0..1, specks removed. */
  readonly ink: Picture
  readonly largest: Component
  readonly labels: Uint16Array
}

function separate(grey: Picture): Separated | undefined {
  const { width, height } = grey
  const difference = fromPaper(grey)
  const threshold = otsu(difference)
  // How strong full ink is: the upper quartile of what is above the threshold.
  const strength = percentile(
    difference.filter((value) => value > threshold),
    0.75,
  )
  if (strength < MIN_CONTRAST) return undefined

  const faintest = strength * FAINTEST
  const values = difference.map((value) =>
    Math.min(Math.max((value - faintest) / (strength - faintest), 0), 1),
  )
  const { patches, labels } = components({ values, width, height }, FAINTEST)
  const digit = withoutSpecks(patches, labels, width, height)
  const [largest] = digit
  if (largest === undefined) return undefined

  const kept = new Set(digit.map(({ label }) => label))
  for (let i = 0; i < values.length; i++) {
    if (values[i]! > 0 && !kept.has(labels[i]!)) values[i] = 0
  }
  return { ink: { values, width, height }, largest, labels }
}

/** By how many levels each pixel differs from the paper in the direction of the ink; never below 0. */
function fromPaper({ values, width, height }: Picture): Float32Array {
  const rimPaper = fitSurface({ values, width, height }, rimOf(width, height))
  let dark = 0
  let light = 0
  for (let i = 0; i < values.length; i++) {
    const off = rimPaper[i]! - values[i]!
    // Cubed, so that few pixels of strong ink count for more than many of weak shadow.
    if (off > 0) dark += off ** 3
    else light -= off ** 3
  }
  const direction = dark >= light ? 1 : -1
  const above = (paper: Float32Array): Float32Array =>
    paper.map((level, i) => Math.max(0, (level - values[i]!) * direction))

  const first = above(rimPaper)
  const limit = Math.max(otsu(first) / 2, 2)
  return above(fitSurface({ values, width, height }, (x, y) => first[y * width + x]! < limit))
}

/** Tells the pixels along the sides of a picture. */
function rimOf(width: number, height: number): (x: number, y: number) => boolean {
  const rim = Math.max(1, Math.round(Math.min(width, height) * RIM))
  return (x, y) => x < rim || y < rim || x >= width - rim || y >= height - rim
}

/** Largest first, without specks and without what only runs along the rim, as the edge of a scan. */
function withoutSpecks(
  patches: readonly Component[],
  labels: Uint16Array,
  width: number,
  height: number,
): Component[] {
  const isRim = rimOf(width, height)
  const rimArea = new Uint32Array(patches.length + 1) // by label
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) if (isRim(x, y)) rimArea[labels[i]!]!++
  }
  const real = patches.filter(({ area, peak }) => area >= MIN_PATCH && peak > 0.5)
  const inside = real.filter(({ label, area }) => rimArea[label]! < ALONG_RIM * area)
  const candidates = (inside.length > 0 ? inside : real).toSorted((a, b) => b.area - a.area)
  return candidates.filter(({ area }) => area >= SPECK * candidates[0]!.area)
}
