/**
 * What the steps need of the payload memory, so that what is inside the flow can always leave it.
 *
 * - For each step the most pages that it has ever added to a task: admission leaves room for that. Written by its workers,
 *   by compare-and-swap; it only grows.
 * - For each worker that cannot hand a task over for want of memory, how many pages may be in use for it to go on, plus
 *   one: until then nothing is admitted that takes memory, and clients take back what nobody has started yet. Written by
 *   the worker alone, or by recovery once it is dead.
 */
export class MemoryNeeds {
  readonly #words: Int32Array
  readonly #steps: number
  readonly #wants: number
  readonly #actors: number

  static wordsNeeded(steps: number, actors: number): number {
    return steps + actors
  }

  constructor(words: Int32Array, start: number, steps: number, actors: number) {
    this.#words = words
    this.#steps = start
    this.#wants = start + steps
    this.#actors = actors
  }

  /** The most pages that a step has added to a task. */
  ofStep(step: number): number {
    return Atomics.load(this.#words, this.#steps + step)
  }

  /** Says that a step adds so many pages to a task. */
  raise(step: number, pages: number): void {
    const at = this.#steps + step
    for (let now = Atomics.load(this.#words, at); now < pages;) {
      const found = Atomics.compareExchange(this.#words, at, now, pages)
      if (found === now) return
      now = found
    }
  }

  /** A worker waits until no more than `mostInUse` pages are in use. */
  want(worker: number, mostInUse: number): void {
    Atomics.store(this.#words, this.#wants + worker, Math.max(0, mostInUse) + 1)
  }

  /** A worker waits no more. Whether it has waited. */
  endWant(worker: number): boolean {
    return Atomics.exchange(this.#words, this.#wants + worker, 0) !== 0
  }

  /** The most pages that may be in use for every worker to go on; Infinity while none waits. */
  mostInUse(): number {
    let most = Infinity
    for (let actor = 0; actor < this.#actors; actor++) {
      const want = Atomics.load(this.#words, this.#wants + actor)
      if (want > 0 && want <= most) most = want - 1
    }
    return most
  }
}
