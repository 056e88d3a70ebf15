/** Something that ends at a deadline. */
export interface Timed {
  /** Flow time in milliseconds. */
  readonly deadline: number
  /** Its place among the entries, which {@link Deadlines} alone writes; -1 while it is not there. */
  deadlinePlace: number
}

/** Ends of the list of those with the same timeout: places, -1 for none. */
interface List {
  first: number
  last: number
}

const NONE = -1
const FIRST_CAPACITY = 64

/** Milliseconds that a timer of Node can run at the most; a longer one would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1

/**
 * Deadlines of pending tasks. Tasks with the same timeout expire in the order in which they came, so each timeout has a
 * list that is only ever appended to: adding and removing costs a few assignments, and one timer serves them all.
 *
 * The lists link places, and not the entries to one another: of numbers the garbage collector knows nothing, and it is what
 * pending tasks cost where there are many.
 */
export class Deadlines<Entry extends Timed> {
  readonly #now: () => number
  readonly #expire: (entry: Entry) => void
  readonly #lists = new Map<number, List>()
  readonly #useTimer: boolean
  /** By place. */
  readonly #entries: (Entry | undefined)[] = []
  #earlier = new Int32Array(FIRST_CAPACITY)
  /** The next place of a list; of a place that is free, the next one that is. */
  #later = new Int32Array(FIRST_CAPACITY)
  #free = NONE
  #lastTimeout = NaN
  #lastList: List = { first: NONE, last: NONE }
  #timer: NodeJS.Timeout | undefined
  #timerAt = Infinity

  constructor(now: () => number, expire: (entry: Entry) => void, useTimer: boolean) {
    this.#now = now
    this.#expire = expire
    this.#useTimer = useTimer
  }

  add(timed: Entry, timeout: number): void {
    const list = this.#list(timeout)
    const place = this.#takePlace(timed)
    const { last } = list
    this.#earlier[place] = last
    this.#later[place] = NONE
    if (last < 0) list.first = place
    else this.#later[last] = place
    list.last = place
    if (timed.deadline < this.#timerAt) this.#setTimer(timed.deadline)
  }

  remove(timed: Entry, timeout: number): void {
    const place = timed.deadlinePlace
    if (place >= 0) this.#unlink(place, this.#list(timeout))
  }

  /** Expires what is due. */
  run(): void {
    const now = this.#now()
    let next = Infinity
    this.#timerAt = Infinity
    for (const list of this.#lists.values()) {
      while (list.first >= 0) {
        const timed = this.#entries[list.first]!
        if (timed.deadline > now) {
          next = Math.min(next, timed.deadline)
          break
        }
        this.#unlink(list.first, list)
        this.#expire(timed)
      }
    }
    if (next < this.#timerAt) this.#setTimer(next)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #list(timeout: number): List {
    if (timeout === this.#lastTimeout) return this.#lastList
    let list = this.#lists.get(timeout)
    if (list === undefined) {
      if (this.#lists.size > 64) this.#dropEmptyLists()
      list = { first: NONE, last: NONE }
      this.#lists.set(timeout, list)
    }
    this.#lastTimeout = timeout
    this.#lastList = list
    return list
  }

  #takePlace(timed: Entry): number {
    let place = this.#free
    if (place >= 0) {
      this.#free = this.#later[place]!
      this.#entries[place] = timed
    } else {
      place = this.#entries.push(timed) - 1
      if (place === this.#later.length) {
        this.#earlier = twiceAsLong(this.#earlier)
        this.#later = twiceAsLong(this.#later)
      }
    }
    timed.deadlinePlace = place
    return place
  }

  #unlink(place: number, list: List): void {
    const earlier = this.#earlier[place]!
    const later = this.#later[place]!
    if (earlier < 0) list.first = later
    else this.#later[earlier] = later
    if (later < 0) list.last = earlier
    else this.#earlier[later] = earlier
    this.#entries[place]!.deadlinePlace = NONE
    this.#entries[place] = undefined
    this.#later[place] = this.#free
    this.#free = place
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
    for (const [timeout, list] of this.#lists) if (list.first < 0) this.#lists.delete(timeout)
  }
}

function twiceAsLong(numbers: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(2 * numbers.length)
  longer.set(numbers)
  return longer
}
