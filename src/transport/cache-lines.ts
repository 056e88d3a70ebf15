/** Words of a cache line. */
const LINE = 16

/** Words that take whole cache lines. */
export const inLines = (words: number): number => Math.ceil(words / LINE) * LINE

/** Words that take whole pairs of lines, which processors fetch together. */
export const inPairsOfLines = (words: number): number => 2 * inLines(words / 2)
