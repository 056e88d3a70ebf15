import { PAGE_BYTES } from '../memory/geometry.ts'
import { type Control, actorCount, workerActor } from '../transport/control.ts'
import { CLAIMED, DONE, QUEUED, RUNNING, actorOf, stateOf } from '../transport/task-table.ts'

/** Tasks somewhere. */
export interface TasksAt {
  readonly tasks: number
  /**
   * Milliseconds; 0 where there is none. Of tasks that wait: for how long the eldest has waited there. Of those in a
   * worker's hands: how long ago the eldest was given to `process()`.
   */
  readonly oldestMs: number
}

/** Who has shared memory: tasks that are in a step's queue or in a worker's hands, and programs. */
export type MemoryOwner =
  | { readonly kind: 'waiting' | 'handled'; readonly step: number }
  /** Tasks on their way in, or finished and on their way out. */
  | { readonly kind: 'arriving' | 'finished' }
  /** A program, which holds results or bodies: 0 is the one that has started the flow. */
  | { readonly kind: 'program'; readonly client: number }

/** Blocks of shared memory of one size and one owner. */
export interface MemoryUse {
  /** Size of each block. */
  readonly blockBytes: number
  readonly blocks: number
  readonly owner: MemoryOwner
}

const OWNER_IS_ACTOR = 0x4000_0000
const OWNER_IS_SLOT = 0x2000_0000

interface Count {
  tasks: number
  oldest: number
}

const none = (): Count => ({ tasks: 0, oldest: Infinity })

/**
 * What is where in a flow at this moment: the slots of all tasks, read one after another without disturbing anybody. A
 * task that moves meanwhile may be counted where it was.
 */
export class Occupancy {
  readonly #control: Control
  readonly #now: number
  /** By step and priority. */
  readonly #waiting: Count[][]
  /** By actor. */
  readonly #inHand: Count[]

  constructor(control: Control) {
    this.#control = control
    const { shape, tasks } = control
    this.#now = control.clock.now()
    this.#waiting = shape.steps.map(() => Array.from({ length: shape.priorities }, none))
    this.#inHand = Array.from({ length: actorCount(shape) }, none)
    for (const slot of control.usedSlots) {
      const [admittedAt, queuedAt] = [tasks.admittedAt(slot), tasks.queuedAt(slot)]
      const word = tasks.word(slot)
      const state = stateOf(word)
      if (state === QUEUED) add(this.#waiting[tasks.target(slot)]?.[tasks.priority(slot)], queuedAt)
      if (state === CLAIMED || state === RUNNING) add(this.#inHand[actorOf(word)], admittedAt)
    }
  }

  /** What waits in front of a step, by priority. */
  waiting(step: number): TasksAt[] {
    return this.#waiting[step]!.map((count) => this.#toTasksAt(count))
  }

  /** What the worker of a step with this number has in its hands. */
  inHand(actor: number): TasksAt {
    return this.#toTasksAt(this.#inHand[actor]!)
  }

  /** The blocks of shared memory that are in use, by size and owner: most bytes first. */
  memory(): MemoryUse[] {
    const { blocks } = this.#control
    const uses = new Map<string, { blockBytes: number; blocks: number; owner: MemoryOwner }>()
    blocks.forEachOwned((block, word) => {
      const owner = this.#ownerOf(word)
      if (owner === undefined) return
      const blockBytes = blocks.geometry.classOf(block).pages * PAGE_BYTES
      const key = `${blockBytes} ${Object.values(owner).join(' ')}`
      const use = uses.get(key) ?? { blockBytes, blocks: 0, owner }
      use.blocks++
      uses.set(key, use)
    })
    return [...uses.values()].toSorted((a, b) => b.blocks * b.blockBytes - a.blocks * a.blockBytes)
  }

  #ownerOf(word: number): MemoryOwner | undefined {
    const { tasks, shape } = this.#control
    if ((word & OWNER_IS_ACTOR) !== 0 && (word & OWNER_IS_SLOT) === 0) {
      const client = word & ~OWNER_IS_ACTOR
      return client < shape.clients ? { kind: 'program', client } : undefined
    }
    const slot = word & ~OWNER_IS_SLOT
    if ((word & OWNER_IS_ACTOR) !== 0 || slot >= tasks.geometry.slots) return undefined // evicting
    const state = tasks.word(slot)
    switch (stateOf(state)) {
      case QUEUED:
        return { kind: 'waiting', step: tasks.target(slot) }
      case CLAIMED:
      case RUNNING:
        return { kind: 'handled', step: this.#stepOf(actorOf(state)) }
      case DONE:
        return { kind: 'finished' }
      default:
        return { kind: 'arriving' }
    }
  }

  #stepOf(actor: number): number {
    const { shape } = this.#control
    return shape.steps.findLastIndex((_, step) => workerActor(shape, step, 0) <= actor)
  }

  #toTasksAt({ tasks, oldest }: Count): TasksAt {
    return { tasks, oldestMs: tasks > 0 ? Math.max(0, this.#now - oldest) : 0 }
  }
}

/** What is read from shared memory may name a place that there is not. */
function add(count: Count | undefined, at: number): void {
  if (count === undefined) return
  count.tasks++
  if (at < count.oldest) count.oldest = at
}
