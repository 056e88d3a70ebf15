/** The actor that watches over workers: the process that started the flow is its own first client. */
export const SUPERVISOR = 0

const WORDS_PER_ACTOR = 16
const LIVE = 0 // 1 from the moment a worker is ready until it ends, or is to end; written by the supervisor
const BUSY = 1 // 1 while the worker has a batch in `handle`; written by the worker, and by the supervisor once it is dead
const BEGAN = 2 // float64, flow time: since when it has the oldest of those
const PATIENCE = 4 // float64, ms: for how long a batch may be there until the worker counts as stuck; written by the supervisor

/** Nobody watches: a worker that becomes busy calls. */
const ASLEEP = 0
/** A worker has called. */
const CALLED = 1
/** The supervisor has set its timer. */
const AWAKE = 2

/**
 * What can be seen of a worker from outside, however deaf it is: whether it lives, and since when it has been busy with a
 * batch. A line of cache each, plain stores: whoever looks a moment too early or too late is told by the next look.
 *
 * Only for a step with a `handleTimeout` it matters that nobody misses the other: a worker says that it is busy, then
 * looks whether somebody watches; the supervisor says that it watches no more, then looks whether a worker is busy.
 */
export class Vitals {
  readonly #words: Int32Array
  readonly #doubles: Float64Array
  readonly #start: number
  readonly #watch: number

  static wordsNeeded(actors: number): number {
    return (actors + 1) * WORDS_PER_ACTOR
  }

  constructor(words: Int32Array, start: number, actors: number) {
    this.#words = words
    this.#doubles = new Float64Array(words.buffer, words.byteOffset, words.length >> 1)
    this.#start = start
    this.#watch = start + actors * WORDS_PER_ACTOR
  }

  /** The worker is ready. */
  setLive(actor: number, patience: number): void {
    const at = this.#at(actor)
    this.#doubles[(at + PATIENCE) >> 1] = patience
    Atomics.store(this.#words, at + LIVE, 1)
  }

  /** No more work is expected of the worker. */
  setEnding(actor: number): void {
    Atomics.store(this.#words, this.#at(actor) + LIVE, 0)
  }

  /** The worker is dead. */
  clear(actor: number): void {
    const at = this.#at(actor)
    Atomics.store(this.#words, at + LIVE, 0)
    Atomics.store(this.#words, at + BUSY, 0)
  }

  isLive(actor: number): boolean {
    return Atomics.load(this.#words, this.#at(actor) + LIVE) === 1
  }

  /** See {@link setLive}. */
  patience(actor: number): number {
    return this.#doubles[(this.#at(actor) + PATIENCE) >> 1]!
  }

  /** The worker has a batch in `handle`, the oldest since `now`. */
  setBusy(actor: number, now: number): void {
    const at = this.#at(actor)
    this.#doubles[(at + BEGAN) >> 1] = now
    this.#words[at + BUSY] = 1
  }

  /** The same, where the supervisor has to know: true when it does not and must be rung. */
  setBusyWatched(actor: number, now: number): boolean {
    const at = this.#at(actor)
    this.#doubles[(at + BEGAN) >> 1] = now
    Atomics.store(this.#words, at + BUSY, 1)
    return (
      Atomics.load(this.#words, this.#watch) === ASLEEP &&
      Atomics.compareExchange(this.#words, this.#watch, ASLEEP, CALLED) === ASLEEP
    )
  }

  setIdle(actor: number): void {
    this.#words[this.#at(actor) + BUSY] = 0
  }

  /** Since when the worker has been busy with a batch, in flow time; undefined when it is not. */
  busySince(actor: number): number | undefined {
    const at = this.#at(actor)
    if (Atomics.load(this.#words, at + BUSY) === 0) return undefined
    return this.#doubles[(at + BEGAN) >> 1]!
  }

  /** Whether a worker has called for somebody to watch. */
  isCalled(): boolean {
    return Atomics.load(this.#words, this.#watch) === CALLED
  }

  startWatching(): void {
    Atomics.store(this.#words, this.#watch, AWAKE)
  }

  /** The supervisor must look once more after this. */
  stopWatching(): void {
    Atomics.store(this.#words, this.#watch, ASLEEP)
  }

  #at(actor: number): number {
    return this.#start + actor * WORDS_PER_ACTOR
  }
}
