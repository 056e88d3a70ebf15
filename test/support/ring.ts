import { Ring } from '../../src/transport/ring.ts'

const TAIL = 16
const CELLS = 32

/** A ring that has been in use for `position` pushes and takes, alone in memory of its own. */
export function ringAt(capacity: number, position: number): { words: Int32Array; ring: Ring } {
  const words = new Int32Array(Ring.wordsNeeded(capacity))
  words[0] = position
  words[TAIL] = position
  const shift = 31 - Math.clz32(capacity)
  for (let step = 0; step < capacity; step++) {
    const next = (position + step) >>> 0
    words[CELLS + (next & (capacity - 1))] = next >>> shift
  }
  return { words, ring: new Ring(words, 0, capacity) }
}

/** The ring as another process sees it. */
export const sameRing = (words: Int32Array): Ring => new Ring(words, 0, words.length - CELLS)

/** What the ring holds, without touching it. */
export function contents(ring: Ring): number[] {
  const cells: number[] = []
  ring.forEach((cell) => {
    cells.push(cell)
    return true
  })
  return cells
}

/** Takes the first task that nobody has claimed, as {@link StepQueue.claim} does it; 0 when there is none. */
export function take(ring: Ring, claimed: Set<number>): number {
  for (let cell = ring.peek(); cell !== 0; cell = ring.peek()) {
    const isMine = !claimed.has(cell)
    claimed.add(cell)
    ring.remove(cell)
    if (isMine) return cell
  }
  return 0
}
