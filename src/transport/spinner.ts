/**
 * Decides how long an actor that has run out of work looks for more before it goes to sleep. A wake-up costs tens of
 * microseconds on both sides, so looking pays when work is about to come; when it is not, looking only takes the
 * processor from others. The past tells: each idle time, cut off at eight times the longest spin, enters a moving
 * average, and an actor spins only while that average is below twice the longest spin.
 */
export class Spinner {
  readonly #longest: number
  #expectedIdle: number
  #idleSince = -1

  /** @param longest - the longest spin in milliseconds; 0 never spins. */
  constructor(longest: number) {
    this.#longest = longest
    this.#expectedIdle = longest * 2
  }

  /** Milliseconds to spin, at the moment at which work has run out. */
  begin(now: number): number {
    if (this.#idleSince < 0) this.#idleSince = now
    return this.#expectedIdle < this.#longest * 2 ? this.#longest : 0
  }

  /** Says that work has come. */
  end(now: number): void {
    if (this.#idleSince < 0) return
    const idle = Math.min(now - this.#idleSince, this.#longest * 8)
    this.#idleSince = -1
    this.#expectedIdle += (idle - this.#expectedIdle) / 4
  }
}
