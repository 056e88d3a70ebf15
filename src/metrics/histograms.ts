import { BUCKETS, type Histogram, bucketOfMs, bucketOfWhole, histogramOf } from './histogram.ts'
import { HEAD, type MetricsShape, SUMS, bucketsStart, histogramsOf } from './layout.ts'

/** The histograms of an actor in shared memory, for itself to write and for anybody to read. */
export class Histograms {
  /** How many there are; none when the flow keeps no metrics. */
  readonly length: number
  readonly #cells: Float64Array
  readonly #buckets: number

  /** @param start - index of the first of the actor's words. */
  constructor(words: Int32Array, start: number, shape: MetricsShape) {
    this.length = histogramsOf(shape)
    this.#buckets = bucketsStart(this.length)
    this.#cells = new Float64Array(
      words.buffer,
      words.byteOffset + start * 4,
      this.#buckets + this.length * BUCKETS,
    )
  }

  /** Records milliseconds. What the clocks of two processes make negative counts as 0. */
  recordMs(histogram: number, ms: number): void {
    const value = ms > 0 ? ms : 0
    this.#record(histogram, bucketOfMs(value), value)
  }

  /** Records a number of bytes or tasks. */
  recordWhole(histogram: number, whole: number): void {
    this.#record(histogram, bucketOfWhole(whole), whole)
  }

  /** Records the same milliseconds so many times. */
  recordMsTimes(histogram: number, ms: number, times: number): void {
    const value = ms > 0 ? ms : 0
    const head = SUMS + histogram * HEAD
    this.#cells[this.#buckets + histogram * BUCKETS + bucketOfMs(value)]! += times
    this.#cells[head] = 1
    this.#cells[head + 1]! += value * times
  }

  /** Records the milliseconds in `values`, from the one index up to the other. */
  recordEachMs(histogram: number, values: Float64Array, from: number, to: number): void {
    const cells = this.#cells
    const head = SUMS + histogram * HEAD
    const buckets = this.#buckets + histogram * BUCKETS
    let sum = 0
    for (let index = from; index < to; index++) {
      const value = Math.max(0, values[index]!)
      cells[buckets + bucketOfMs(value)]! += 1
      sum += value
    }
    if (from < to) cells[head] = 1
    cells[head + 1]! += sum
  }

  #record(histogram: number, bucket: number, value: number): void {
    const cells = this.#cells
    const head = SUMS + histogram * HEAD
    cells[this.#buckets + histogram * BUCKETS + bucket]! += 1
    cells[head] = 1
    cells[head + 1]! += value
  }

  /** Adds what a histogram holds to `into`. Does not touch the buckets of one that is empty. */
  addTo(histogram: number, into: HistogramSum): void {
    const cells = this.#cells
    const head = SUMS + histogram * HEAD
    if (cells[head] === 0) return
    const buckets = this.#buckets + histogram * BUCKETS
    into.add(cells.subarray(buckets, buckets + BUCKETS), cells[head + 1]!)
  }
}

/** The same histogram of several actors, added up. */
export class HistogramSum {
  readonly #counts = new Float64Array(BUCKETS)
  #sum = 0
  #count = 0

  /** The count is that of the buckets: a reader comes at any time, and what it reads must agree with itself. */
  add(counts: Float64Array, sum: number): void {
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const count = counts[bucket]!
      if (count === 0) continue
      this.#counts[bucket]! += count
      this.#count += count
    }
    this.#sum += sum
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  histogram(unit: Histogram['unit']): Histogram {
    return this.isEmpty
      ? histogramOf(unit)
      : histogramOf(unit, this.#counts, this.#sum, this.#count)
  }
}
