/** Something that may wait. */
export interface Waiting {
  /** Whether it is in the list; the list's own. */
  isListed: boolean
}

/** Entries that are looked over in vain before the list is packed. */
const FEW = 64

/**
 * A first-in, first-out list that its entries may leave from the middle. Those are passed over, and swept out when they are
 * the larger part. An array, because the collector copies 100,000 entries that are linked to one another at a third more.
 */
export class WaitingList<Entry extends Waiting> {
  #entries: (Entry | undefined)[] = []
  #head = 0
  #live = 0

  /** The first entry, or undefined. */
  get first(): Entry | undefined {
    for (; this.#head < this.#entries.length; this.#head++) {
      const entry = this.#entries[this.#head]
      if (entry?.isListed === true) return entry
      this.#entries[this.#head] = undefined
    }
    return undefined
  }

  add(entry: Entry): void {
    entry.isListed = true
    this.#entries.push(entry)
    this.#live++
  }

  addFirst(entry: Entry): void {
    entry.isListed = true
    if (this.#head > 0) this.#entries[--this.#head] = entry
    else this.#entries.unshift(entry)
    this.#live++
  }

  /** Takes an entry out; false when it is not in the list. */
  remove(entry: Entry): boolean {
    if (!entry.isListed) return false
    entry.isListed = false
    this.#live--
    if (this.#entries[this.#head] === entry) this.#entries[this.#head++] = undefined
    if (this.#entries.length >= FEW && this.#entries.length >= 2 * this.#live) this.#pack()
    return true
  }

  #pack(): void {
    this.#entries = this.#entries.slice(this.#head).filter((entry) => entry?.isListed)
    this.#head = 0
  }
}
