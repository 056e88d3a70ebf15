/**
 * Counters and histograms in shared memory, one set per actor. The actor alone writes them, with plain stores; anybody
 * may read. Float64 for sums: exact for counts up to 2^53.
 */
// Sums. Those of a step's worker first, then those of a client.
export const TASKS = 0 // handled, whatever the outcome; admitted
export const BATCHES = 1
export const FAILED = 2
export const EXPIRED = 3
export const QUEUE_MS = 4
export const BATCH_MS = 5
export const HANDLE_MS = 6
export const COMPLETED = 7
export const TIMED_OUT = 8
export const CANCELLED = 9
export const REJECTED = 10
const SUMS = 11

// Histograms.
export const QUEUE_HISTOGRAM = 0
export const HANDLE_HISTOGRAM = 1
export const BATCH_SIZE_HISTOGRAM = 2

/** Histogram of milliseconds or sizes: four buckets to each doubling, from 2^-10 up. */
const BUCKETS = 96
const LOWEST_EXPONENT = -10

/** The bucket of a value: bucket b holds values in [lower(b), lower(b + 1)). */
function bucketOf(value: number): number {
  if (value <= 0) return 0
  const bucket = Math.floor((Math.log2(value) - LOWEST_EXPONENT) * 4)
  return bucket < 0 ? 0 : bucket >= BUCKETS ? BUCKETS - 1 : bucket
}

/** Lower bound of a bucket. */
const lowerBound = (bucket: number): number => 2 ** (LOWEST_EXPONENT + bucket / 4)

export class Counters {
  readonly #doubles: Float64Array
  readonly #words: Int32Array
  readonly #histograms: number

  /** @param start - index of the first of the actor's words. */
  constructor(words: Int32Array, start: number) {
    this.#doubles = new Float64Array(words.buffer, words.byteOffset + start * 4, SUMS)
    this.#words = words
    this.#histograms = start + 2 * SUMS
  }

  add(index: number, amount: number): void {
    this.#doubles[index]! += amount
  }

  get(index: number): number {
    return this.#doubles[index]!
  }

  /** Records a value `count` times. */
  record(histogram: number, value: number, count = 1): void {
    this.#words[this.#histograms + histogram * BUCKETS + bucketOf(value)]! += count
  }

  /** Adds a histogram's counts to `into`. */
  addTo(histogram: number, into: Distribution): void {
    const start = this.#histograms + histogram * BUCKETS
    for (let bucket = 0; bucket < BUCKETS; bucket++)
      into.add(bucket, this.#words[start + bucket]! >>> 0)
  }
}

/** A histogram summed over several writers. */
export class Distribution {
  readonly #counts = new Float64Array(BUCKETS)
  #total = 0

  add(bucket: number, count: number): void {
    this.#counts[bucket]! += count
    this.#total += count
  }

  /** The value below which the share `q` (0 to 1) lies: the geometric middle of its bucket. 0 without any value. */
  quantile(q: number): number {
    let seen = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket]!
      if (seen > 0 && seen >= q * this.#total)
        return Math.sqrt(lowerBound(bucket) * lowerBound(bucket + 1))
    }
    return 0
  }
}
