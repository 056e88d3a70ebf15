import { getHeapStatistics } from 'node:v8'
import { residentAnonBytes } from '../metrics/resident-memory.ts'

/** Milliseconds between two looks. */
const LOOK_EVERY = 1_000
/** Milliseconds until a worker that could not be replaced says so again. */
const TELL_EVERY = 60_000

/**
 * Bytes of memory that are this worker's own: of a process what is neither shared nor mapped from a file, of a thread its
 * JavaScript heap and buffers, since nobody can tell whose the rest of its process is.
 */
export function ownMemory(isThread: boolean): number {
  if (!isThread) return residentAnonBytes(process.pid)
  const { used_heap_size: heap, external_memory: buffers } = getHeapStatistics()
  return heap + buffers
}

/** Looks between batches, at most once a second, whether the worker has grown beyond its step's `maxMemory`. */
export class MemoryLimit {
  readonly #maxMemory: number
  readonly #read: () => number
  readonly #onOutgrown: (bytes: number) => void
  #nextLook = -Infinity

  constructor(maxMemory: number, read: () => number, onOutgrown: (bytes: number) => void) {
    this.#maxMemory = maxMemory
    this.#read = read
    this.#onOutgrown = onOutgrown
  }

  /** @param now - flow time in milliseconds. */
  look(now: number): void {
    if (now < this.#nextLook) return
    this.#nextLook = now + LOOK_EVERY
    const bytes = this.#read()
    if (bytes <= this.#maxMemory) return
    this.#nextLook = now + TELL_EVERY
    this.#onOutgrown(bytes)
  }
}
