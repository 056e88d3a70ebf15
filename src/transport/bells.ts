import { libc, viewAt } from '../memory/libc.ts'
import koffi from 'koffi'

/** The write end of an actor's bell: any process of the flow may ring it. */
const O_NONBLOCK = 0o4000
const O_CLOEXEC = 0o2000000

export interface BellEnds {
  readonly read: number
  readonly write: number
}

/** Makes one pipe. */
export function createBell(): BellEnds {
  const ends = [0, 0]
  if (libc().pipe2(ends, O_NONBLOCK | O_CLOEXEC) !== 0) {
    throw new Error('cannot make a pipe: too many open files (ulimit -n)?')
  }
  return { read: ends[0]!, write: ends[1]! }
}

/**
 * Wakes actors that sleep in their event loop. An actor arms its word, looks for work once more, and sleeps; whoever
 * makes work swaps the word back and, having won the swap, sends one byte down the actor's pipe. Nobody rings while the
 * other side is awake.
 *
 * The pipes are made by the supervisor, which keeps both ends for the life of the flow, so that a restarted worker
 * sleeps at the bell of the one it replaces. After a death the supervisor rings every bell, armed or not: a ring that
 * died with its worker is made good that way.
 */
export class Bells {
  readonly #words: Int32Array
  readonly #start: number
  readonly #writeEnds: readonly number[]
  readonly #write: (fd: number, address: number, length: number) => number
  readonly #byte: unknown
  readonly #address: number

  /** Words per actor: a cache line of its own. */
  static readonly WORDS_PER_ACTOR = 16

  constructor(words: Int32Array, start: number, writeEnds: readonly number[]) {
    this.#words = words
    this.#start = start
    this.#writeEnds = writeEnds
    this.#write = libc().write
    this.#byte = koffi.alloc('uint8_t', 8)
    this.#address = Number(koffi.address(this.#byte))
    new Uint8Array(viewAt(this.#address, 8)).fill(1)
  }

  /** Says that `actor` is about to sleep. It must look for work once more before it does. */
  arm(actor: number): void {
    Atomics.store(this.#words, this.#start + actor * Bells.WORDS_PER_ACTOR, 1)
  }

  disarm(actor: number): void {
    Atomics.store(this.#words, this.#start + actor * Bells.WORDS_PER_ACTOR, 0)
  }

  /** Wakes `actor` if it sleeps. */
  ring(actor: number): void {
    const at = this.#start + actor * Bells.WORDS_PER_ACTOR
    if (Atomics.load(this.#words, at) === 0) return
    if (Atomics.compareExchange(this.#words, at, 1, 0) === 1) this.ringAnyway(actor)
  }

  /** Sends the byte whatever the word says. A full pipe is a bell that rings already. */
  ringAnyway(actor: number): void {
    this.#write(this.#writeEnds[actor]!, this.#address, 1)
  }
}
