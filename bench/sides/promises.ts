import type { Side } from './side.ts'

/** As many are settled in a turn of the event loop. */
const PER_TURN = 128

/** A task that waits, with nothing but what its caller needs. */
class Waiting {
  readonly number: number
  readonly outcome: Promise<{ readonly sum: number }>
  resolve!: (result: { readonly sum: number }) => void

  constructor(number: number) {
    this.number = number
    this.outcome = new Promise((resolve) => {
      this.resolve = resolve
    })
  }
}

/**
 * No library and nobody else who works: each task is an object and a promise, settled in the order of arrival. What that
 * costs is what the engine takes for tasks that are pending, whoever handles them.
 */
export function open(): Side {
  let arriving: Waiting[] = []
  let leaving: (Waiting | undefined)[] = []
  let next = 0
  let isTurning = false
  const turn = (): void => {
    for (let settled = 0; settled < PER_TURN; settled++) {
      if (next === leaving.length) {
        ;[leaving, arriving] = [arriving, []]
        next = 0
      }
      const waiting = leaving[next]
      if (waiting === undefined) break
      leaving[next++] = undefined
      waiting.resolve({ sum: waiting.number + 1 })
    }
    isTurning = next < leaving.length || arriving.length > 0
    if (isTurning) setImmediate(turn)
  }
  return {
    call: (number) => {
      const waiting = new Waiting(number)
      arriving.push(waiting)
      if (!isTurning) setImmediate(turn)
      isTurning = true
      return waiting.outcome
    },
    close: () => Promise.resolve(),
  }
}
