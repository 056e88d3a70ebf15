import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

let collect: (() => void) | undefined

function bindCollector(): () => void {
  setFlagsFromString('--expose-gc')
  try {
    return runInNewContext('gc') as () => void
  } finally {
    setFlagsFromString('--no-expose-gc')
  }
}

/** A collection may take up to a fifth of the time while tasks wait for memory. */
const REST_FACTOR = 4

/**
 * Collects garbage when tasks wait for shared memory that forgotten results may hold. V8 counts the size of each lease
 * and so collects by itself while a program goes on, but one that waits for memory does nothing, and would wait for ever.
 */
export class GarbageRelief {
  #notBefore = 0

  /** Collects unless the last collection is too recent; returns the milliseconds until the next is allowed. */
  relieve(): number {
    const begin = performance.now()
    if (begin < this.#notBefore) return this.#notBefore - begin
    collect ??= bindCollector()
    collect()
    const end = performance.now()
    const rest = Math.max(1, (end - begin) * REST_FACTOR)
    this.#notBefore = end + rest
    return rest
  }
}
