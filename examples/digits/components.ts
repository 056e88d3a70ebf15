/** Connected patches of ink. */

import type { Picture } from './picture.ts'

/** A patch of pixels that touch each other, corners included. */
export interface Component {
  /** From 1 on. */
  readonly label: number
  /** Pixels. */
  readonly area: number
  /** The sum of its values: its area, where all are 1. */
  readonly mass: number
  /** The strongest value in it. */
  readonly peak: number
  /** The box around it, in pixels; `right` and `bottom` are the first outside. */
  readonly left: number
  readonly top: number
  readonly right: number
  readonly bottom: number
}

/** All patches of a picture, and which pixel belongs to which. */
export interface Components {
  readonly patches: readonly Component[]
  /** The label of each pixel, 0 for none. */
  readonly labels: Uint16Array
}

/** Finds the patches of values above `threshold`. */
export function components({ values, width, height }: Picture, threshold: number): Components {
  const labels = new Uint16Array(values.length)
  const patches: Component[] = []
  const waiting = new Uint32Array(values.length) // each pixel is pushed at most once
  for (let start = 0; start < values.length; start++) {
    if (labels[start] !== 0 || values[start]! <= threshold) continue
    const label = patches.length + 1
    let [area, mass, peak, left, top, right, bottom] = [0, 0, 0, width, height, 0, 0]
    let depth = 0
    waiting[depth++] = start
    labels[start] = label
    while (depth > 0) {
      const at = waiting[--depth]!
      const x = at % width
      const y = (at - x) / width
      area++
      mass += values[at]!
      peak = Math.max(peak, values[at]!)
      left = Math.min(left, x)
      right = Math.max(right, x + 1)
      top = Math.min(top, y)
      bottom = Math.max(bottom, y + 1)
      for (let ny = Math.max(y - 1, 0); ny <= Math.min(y + 1, height - 1); ny++) {
        for (let nx = Math.max(x - 1, 0); nx <= Math.min(x + 1, width - 1); nx++) {
          const next = ny * width + nx
          if (labels[next] !== 0 || values[next]! <= threshold) continue
          labels[next] = label
          waiting[depth++] = next
        }
      }
    }
    patches.push({ label, area, mass, peak, left, top, right, bottom })
  }
  return { patches, labels }
}
