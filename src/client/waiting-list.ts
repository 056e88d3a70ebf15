/** Something that may wait. */
export interface Waiting {
  /** Its place in the list, which alone writes it; undefined while it is not there. */
  place: number | undefined
}

/** A list that is no longer than this is never packed. */
const FEW = 64

/**
 * A first-in, first-out list that its entries may leave from the middle. An array with gaps, which is packed when they are the
 * larger part: the collector copies 100,000 entries that are linked to one another at a third more.
 */
export class WaitingList<Entry extends Waiting> {
  #entries: (Entry | undefined)[] = []
  /** Where the first entry is in the array, if there is one; and the place of what lies at the array's beginning. */
  #head = 0
  #offset = 0
  #live = 0

  /** The first entry, or undefined. */
  get first(): Entry | undefined {
    return this.#entries[this.#head]
  }

  add(entry: Entry): void {
    entry.place = this.#offset + this.#entries.length
    this.#entries.push(entry)
    this.#live++
  }

  addFirst(entry: Entry): void {
    if (this.#head > 0) {
      this.#entries[--this.#head] = entry
    } else {
      this.#entries.unshift(entry)
      this.#offset--
    }
    entry.place = this.#offset + this.#head
    this.#live++
  }

  /** Takes an entry out; false when it is not in the list. */
  remove(entry: Entry): boolean {
    const { place } = entry
    if (place === undefined) return false
    const entries = this.#entries
    entries[place - this.#offset] = entry.place = undefined
    this.#live--
    while (this.#head < entries.length && entries[this.#head] === undefined) this.#head++
    if (this.#hasManyGaps()) this.#pack()
    return true
  }

  #hasManyGaps(): boolean {
    return this.#entries.length >= FEW && this.#entries.length >= 2 * this.#live
  }

  /** Drops what lies before the first entry; and the gaps behind it, if that was not the larger part. */
  #pack(): void {
    this.#entries = this.#entries.slice(this.#head)
    this.#offset += this.#head
    this.#head = 0
    if (!this.#hasManyGaps()) return
    this.#entries = this.#entries.filter((entry) => entry !== undefined)
    this.#entries.forEach((entry, index) => {
      entry!.place = this.#offset + index
    })
  }
}
