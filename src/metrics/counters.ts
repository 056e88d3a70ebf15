/**
 * Counters and histograms in shared memory, one set per actor. The actor alone writes them, with plain stores; anybody
 * may read. Float64 for sums: exact for counts up to 2^53.
 */
export const COUNTERS = [
  'tasks', // handled by a step's worker, whatever the outcome; admitted by a client
  'batches',
  'failed',
  'expired',
  'queueMs',
  'batchMs',
  'handleMs',
  'completed', // from here on: written by clients
  'timedOut',
  'cancelled',
  'rejected',
] as const

export type CounterName = (typeof COUNTERS)[number]

/** Histogram of milliseconds or sizes: four buckets to each doubling, from 2^-10 up. */
export const BUCKETS = 96
const LOWEST_EXPONENT = -10

/** The bucket of a value: bucket b holds values in [lower(b), lower(b + 1)). */
export function bucketOf(value: number): number {
  if (value <= 0) return 0
  const bucket = Math.floor((Math.log2(value) - LOWEST_EXPONENT) * 4)
  return bucket < 0 ? 0 : bucket >= BUCKETS ? BUCKETS - 1 : bucket
}

/** Lower bound of a bucket. */
export const lowerBound = (bucket: number): number => 2 ** (LOWEST_EXPONENT + bucket / 4)

export const HISTOGRAMS = ['queueMs', 'handleMs', 'batchSize'] as const
export type HistogramName = (typeof HISTOGRAMS)[number]

export class Counters {
  readonly #doubles: Float64Array
  readonly #words: Int32Array
  readonly #histograms: number

  /** @param start - index of the first of the actor's words. */
  constructor(words: Int32Array, start: number) {
    this.#doubles = new Float64Array(words.buffer, words.byteOffset + start * 4, COUNTERS.length)
    this.#words = words
    this.#histograms = start + 2 * COUNTERS.length
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

  bucket(histogram: number, bucket: number): number {
    return this.#words[this.#histograms + histogram * BUCKETS + bucket]! >>> 0
  }
}

// Indexes as constants: a hot path looks no names up.
export const TASKS = 0
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
export const QUEUE_HISTOGRAM = 0
export const HANDLE_HISTOGRAM = 1
export const BATCH_SIZE_HISTOGRAM = 2
