const PAGE_ELEMENTS = 4096 / Float32Array.BYTES_PER_ELEMENT

/** What the steps of `handlers/frame-hop.ts` pass on. */
export interface Hop {
  readonly frame: Float32Array<ArrayBuffer>
  /** What the step read. */
  readonly seen: number
}

/** A frame in ordinary memory, all of it written. Small integers: sums of them are exact. */
export function makeFrame(bytes: number, seed: number): Float32Array<ArrayBuffer> {
  const frame = new Float32Array(bytes / Float32Array.BYTES_PER_ELEMENT)
  for (let index = 0; index < frame.length; index++) frame[index] = (index + seed) % 251
  return frame
}

export function sumOfEnds(frame: Float32Array): number {
  return frame[0]! + frame[frame.length - 1]!
}

export function sumOfPages(frame: Float32Array): number {
  let sum = 0
  for (let index = 0; index < frame.length; index += PAGE_ELEMENTS) sum += frame[index]!
  return sum
}
