import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'

/** A number from 0 up to, and without, 1: like `Math.random`, but the same from the same seed. */
export type Random = () => number

/** Its first numbers say too much of its seed. */
const WARM_UP = 32

function generator(seed: number): ReturnType<typeof xoroshiro128plus> {
  const numbers = xoroshiro128plus(seed)
  for (let drawn = 0; drawn < WARM_UP; drawn++) numbers.next()
  return numbers
}

/**
 * Numbers for each purpose apart, all from one seed: however many tasks are drawn, the kills come at the same moments.
 * A stream that is asked for twice begins anew.
 */
export class Randomness {
  readonly #seed: number

  constructor(seed: number) {
    this.#seed = seed
  }

  stream(purpose: 'kills' | 'harms' | 'guests' | 'measured' | 'storm'): Random {
    let seed = this.#seed
    for (const letter of purpose) seed = Math.imul(seed ^ letter.codePointAt(0)!, 0x01000193)
    const numbers = generator(seed)
    return () => uniformFloat64(numbers)
  }
}

/** A whole number from `low` up to, and without, `high`. */
export const integerOf = (random: Random, low: number, high: number): number =>
  low + Math.floor(random() * (high - low))

/** One of the values, each as likely as the others. */
export const oneOf = <Value>(random: Random, values: readonly [Value, ...Value[]]): Value =>
  values[integerOf(random, 0, values.length)] ?? values[0]

/** So many moments between 0 and `duration`, in order. */
export const momentsOf = (random: Random, count: number, duration: number): number[] =>
  Array.from({ length: count }, () => random() * duration).toSorted((a, b) => a - b)
