import { libc } from '../memory/libc.ts'

/** How fast the past fades: the weight of one more spin in the average. */
const WEIGHT = 1 / 8
const FIRST_PAUSE = 4
const LONGEST_PAUSE = 256

/** Between two looks: lets others have the core. Comes back at once where nobody waits for it. */
export const letOthersGo = (): void => {
  libc().schedYield()
}

/**
 * Decides whether an actor that has run out of work looks for more before it goes to sleep. A wake-up costs tens of
 * microseconds on both sides, so looking pays when work is about to come. When it is not, looking only takes the
 * processor from others. And the spinner may hold the very core on which the work would be made: so between two looks it
 * lets whoever waits for that core go first. As many actors as there are then look side by side on few cores, and hand
 * each other work without a wake-up.
 *
 * What decides is whether spins have found work: an actor spins while at least half of the recent ones did. Once they
 * fail it goes to sleep at once, and tries again after 4, 8, … up to 256 idle times, until one succeeds.
 */
export class Spinner {
  readonly #longest: number
  #success = 1
  #pause = FIRST_PAUSE
  #skipped = 0

  /** @param longest - the longest spin in milliseconds; 0 never spins. */
  constructor(longest: number) {
    this.#longest = longest
  }

  /** Begins an idle time at `now`: the time until which to look for work, or 0 for not at all. */
  begin(now: number): number {
    if (this.#longest === 0) return 0
    if (this.#success >= 0.5) return now + this.#longest
    if (++this.#skipped < this.#pause) return 0
    this.#skipped = 0
    return now + this.#longest
  }

  /** Says that work came while the actor was looking. */
  hit(): void {
    this.#success += (1 - this.#success) * WEIGHT
    if (this.#success < 0.5) this.#success = 0.5 // it was a trial: one success is enough to go on
    this.#pause = FIRST_PAUSE
  }

  /** Says that the actor looked in vain. */
  miss(): void {
    const wasTrial = this.#success < 0.5
    this.#success -= this.#success * WEIGHT
    if (wasTrial && this.#pause < LONGEST_PAUSE) this.#pause *= 2
  }
}
