/** An entry that may be given up while it waits, or be given its slot before its turn. */
interface Waiting {
  readonly settled: boolean
  readonly slot: number
}

const waits = (entry: Waiting | undefined): boolean =>
  entry !== undefined && !entry.settled && entry.slot < 0

/** Entries that are looked over in vain before the list is packed. */
const FEW = 64

/**
 * A first-in, first-out list whose entries may be given up in the middle. Those are passed over, and swept out when they
 * are the larger part.
 */
export class WaitingList<Entry extends Waiting> {
  #entries: (Entry | undefined)[] = []
  #head = 0
  #live = 0

  /** Entries that wait. */
  get size(): number {
    return this.#live
  }

  add(entry: Entry): void {
    this.#entries.push(entry)
    this.#live++
  }

  addFirst(entry: Entry): void {
    if (this.#head > 0) this.#entries[--this.#head] = entry
    else this.#entries.unshift(entry)
    this.#live++
  }

  /** The first entry, or undefined. */
  first(): Entry | undefined {
    for (; this.#head < this.#entries.length; this.#head++) {
      const entry = this.#entries[this.#head]
      if (waits(entry)) return entry
      this.#entries[this.#head] = undefined
    }
    return undefined
  }

  /** Says that an entry waits no more: it is, or is about to be, settled, or has a slot. */
  giveUp(): void {
    this.#live--
    this.#pack()
  }

  #pack(): void {
    if (this.#entries.length < FEW || this.#entries.length < 2 * this.#live) return
    this.#entries = this.#entries.slice(this.#head).filter(waits)
    this.#head = 0
  }
}
