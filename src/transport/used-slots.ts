const WORDS_PER_CLIENT = 16 // a cache line of its own

/**
 * How many of its slots each client has ever used: always the first ones. The memory of the others has never been
 * touched, and stays untouched by whoever looks for what somebody left behind: a read alone would have the system give
 * a page for each.
 *
 * A client's word is written by that client alone, before it uses a slot for the first time. It only grows, also from
 * one client of a number to the next.
 */
export class UsedSlots {
  readonly #words: Int32Array
  readonly #start: number
  readonly #slotsPerClient: number
  readonly #clients: number

  static wordsNeeded(clients: number): number {
    return clients * WORDS_PER_CLIENT
  }

  constructor(words: Int32Array, start: number, clients: number, slotsPerClient: number) {
    this.#words = words
    this.#start = start
    this.#clients = clients
    this.#slotsPerClient = slotsPerClient
  }

  /** The end of the slots that a client has used: the first that it has not. */
  endOf(client: number): number {
    const used = Atomics.load(this.#words, this.#start + client * WORDS_PER_CLIENT)
    return client * this.#slotsPerClient + Math.min(used, this.#slotsPerClient)
  }

  /** Says that `client` is about to use `slot`, and has used all before it. */
  use(client: number, slot: number): void {
    const used = slot - client * this.#slotsPerClient + 1
    Atomics.store(this.#words, this.#start + client * WORDS_PER_CLIENT, used)
  }

  /** The slots that a client has used. */
  *of(client: number): Generator<number> {
    const end = this.endOf(client)
    for (let slot = client * this.#slotsPerClient; slot < end; slot++) yield slot
  }

  /** The slots that any client has used. */
  *[Symbol.iterator](): Generator<number> {
    for (let client = 0; client < this.#clients; client++) yield* this.of(client)
  }
}
