/** Something that ends at a deadline, linked into the list of those with the same timeout. */
export interface Timed {
  /** Flow time in milliseconds. */
  readonly deadline: number
  earlier: Timed | undefined
  later: Timed | undefined
}

interface List {
  first: Timed | undefined
  last: Timed | undefined
}

/** Milliseconds that a timer of Node can run at the most; a longer one would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1

/**
 * Deadlines of pending tasks. Tasks with the same timeout expire in the order in which they came, so each timeout has a
 * list that is only ever appended to: adding and removing costs a few assignments, and one timer serves them all.
 */
export class Deadlines<Entry extends Timed> {
  readonly #now: () => number
  readonly #expire: (entry: Entry) => void
  readonly #lists = new Map<number, List>()
  readonly #useTimer: boolean
  #timer: NodeJS.Timeout | undefined
  #timerAt = Infinity

  constructor(now: () => number, expire: (entry: Entry) => void, useTimer: boolean) {
    this.#now = now
    this.#expire = expire
    this.#useTimer = useTimer
  }

  add(timed: Entry, timeout: number): void {
    let list = this.#lists.get(timeout)
    if (list === undefined) {
      if (this.#lists.size > 64) this.#dropEmptyLists()
      list = { first: undefined, last: undefined }
      this.#lists.set(timeout, list)
    }
    timed.earlier = list.last
    if (list.last === undefined) list.first = timed
    else list.last.later = timed
    list.last = timed
    if (timed.deadline < this.#timerAt) this.#setTimer(timed.deadline)
  }

  remove(timed: Entry, timeout: number): void {
    const { earlier, later } = timed
    const list = this.#lists.get(timeout)
    if (list === undefined || (earlier === undefined && list.first !== timed)) return
    if (earlier === undefined) list.first = later
    else earlier.later = later
    if (later === undefined) list.last = earlier
    else later.earlier = earlier
    timed.earlier = timed.later = undefined
  }

  /** Expires what is due. */
  run(): void {
    const now = this.#now()
    let next = Infinity
    this.#timerAt = Infinity
    for (const list of this.#lists.values()) {
      while (list.first !== undefined && list.first.deadline <= now) {
        const timed = list.first
        list.first = timed.later
        if (list.first === undefined) list.last = undefined
        else list.first.earlier = undefined
        timed.earlier = timed.later = undefined
        this.#expire(timed as Entry) // the lists hold what `add` was given
      }
      if (list.first !== undefined && list.first.deadline < next) next = list.first.deadline
    }
    if (next < this.#timerAt) this.#setTimer(next)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #setTimer(at: number): void {
    this.#timerAt = at
    if (!this.#useTimer) return
    clearTimeout(this.#timer)
    // One that is early finds nothing to expire, and sets the next.
    const delay = Math.min(LONGEST_TIMER, Math.max(0, Math.ceil(at - this.#now())))
    this.#timer = setTimeout(() => this.run(), delay)
    // A flow that runs keeps the program alive by its workers; a deadline alone never does.
    this.#timer.unref()
  }

  #dropEmptyLists(): void {
    for (const [timeout, list] of this.#lists)
      if (list.first === undefined) this.#lists.delete(timeout)
  }
}
