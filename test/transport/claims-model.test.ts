import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SharedQueue } from '../support/shared-queue.ts'

const SLOTS = 6
const ACTORS = 3

/** The reference: an array for each priority, and the order as ageing.ts tells it in words. */
class Reference {
  readonly waiting: { readonly slot: number; readonly admittedAt: number }[][]
  readonly #ageing: number
  readonly #turns: ('priority' | 'age')[] = Array.from({ length: ACTORS }, () => 'priority')

  constructor(priorities: number, ageing: number) {
    this.waiting = Array.from({ length: priorities }, () => [])
    this.#ageing = ageing
  }

  claim(actor: number): number {
    const isStrict = this.#ageing === Infinity || this.waiting.length === 1
    const turn = isStrict ? 'priority' : this.#turns[actor]!
    this.#turns[actor] = turn === 'priority' ? 'age' : 'priority'
    const firsts = this.waiting
      .map(([first], priority) => ({ first, priority }))
      .filter(({ first }) => first !== undefined)
      .toReversed()
    const came = ({ first, priority }: (typeof firsts)[number]): number =>
      first!.admittedAt - priority * this.#ageing
    const [next] = turn === 'priority' ? firsts : firsts.toSorted((a, b) => came(a) - came(b))
    return next === undefined ? -1 : this.waiting[next.priority]!.shift()!.slot
  }

  withdraw(slot: number): boolean {
    for (const tasks of this.waiting) {
      const at = tasks.findIndex((task) => task.slot === slot)
      if (at < 0) continue
      tasks.splice(at, 1)
      return true
    }
    return false
  }
}

const slots = fc.integer({ min: 0, max: SLOTS - 1 })
const claims = fc.record({
  name: fc.constant('claim' as const),
  actor: fc.integer({ min: 0, max: ACTORS - 1 }),
})
const submissions = fc.record({
  name: fc.constant('submit' as const),
  slot: slots,
  priority: fc.integer({ min: 0, max: 3 }),
})
const advances = fc.record({
  name: fc.constant('advance' as const),
  by: fc.constantFrom(0.25, 1, 5, 9, 10, 11, 20, 31),
})
const commands = fc.array(
  fc.oneof(
    { arbitrary: submissions, weight: 4 },
    { arbitrary: claims, weight: 3 },
    { arbitrary: advances, weight: 2 },
    fc.record({
      name: fc.constantFrom('handOver' as const, 'withdraw' as const, 'finish' as const),
      slot: slots,
    }),
  ),
  { maxLength: 120 },
)
const ageings = fc.constantFrom(0, 1, 10, Infinity)
const counts = fc.constantFrom(1, 2, 4)

/** What the queue has said, and what its reference has. */
type Answers = readonly [queue: unknown, reference: unknown] | undefined

/** A queue and its reference, to which the same is done. */
class Pair {
  readonly #shared: SharedQueue
  readonly #actors: readonly SharedQueue[]
  readonly #reference: Reference
  readonly #priorities: number
  readonly #admitted = new Map<number, { readonly priority: number; readonly admittedAt: number }>()
  readonly #claimed = new Set<number>()
  #now = 0

  constructor(priorities: number, ageing: number) {
    this.#shared = new SharedQueue({ priorities, ageing })
    this.#actors = Array.from({ length: ACTORS }, () => this.#shared.another())
    this.#reference = new Reference(priorities, ageing)
    this.#priorities = priorities
  }

  advance({ by }: { readonly by: number }): Answers {
    this.#now += by
    return undefined
  }

  submit({ slot, priority }: { readonly slot: number; readonly priority: number }): Answers {
    if (this.#admitted.has(slot)) return undefined
    const task = { priority: Math.min(priority, this.#priorities - 1), admittedAt: this.#now }
    this.#admitted.set(slot, task)
    this.#shared.submit(slot, task.priority, task.admittedAt)
    this.#reference.waiting[task.priority]!.push({ slot, admittedAt: task.admittedAt })
    return undefined
  }

  claim({ actor }: { readonly actor: number }): Answers {
    const slot = this.#actors[actor]!.queue.claim(actor)
    this.#claimed.add(slot)
    return [slot, this.#reference.claim(actor)]
  }

  /** A task comes to this queue, or comes back, later than others that were admitted after it. */
  handOver({ slot }: { readonly slot: number }): Answers {
    if (!this.#claimed.delete(slot)) return undefined
    this.#shared.handOver(slot)
    const { priority, admittedAt } = this.#admitted.get(slot)!
    this.#reference.waiting[priority]!.push({ slot, admittedAt })
    return undefined
  }

  withdraw({ slot }: { readonly slot: number }): Answers {
    const isThere = this.#reference.withdraw(slot) || this.#claimed.delete(slot)
    this.#admitted.delete(slot)
    return [this.#shared.withdraw(slot), isThere]
  }

  finish({ slot }: { readonly slot: number }): Answers {
    if (!this.#claimed.delete(slot)) return undefined
    this.#admitted.delete(slot)
    this.#shared.free(slot)
    return undefined
  }

  /** For each priority, how many wait and whether one more may. */
  waiting(): Answers {
    const { queue } = this.#shared
    const { waiting } = this.#reference
    return [
      waiting.map((_, priority) => [queue.waiting(priority), queue.hasRoom(priority)]),
      waiting.map(({ length }) => [length, length < 2]),
    ]
  }
}

describe('claims of tasks of several priorities', () => {
  test('behave like a simple reference, whatever is submitted, withdrawn and handed over between them', () => {
    fc.assert(
      fc.property(counts, ageings, commands, (priorities, ageing, script) => {
        const pair = new Pair(priorities, ageing)
        for (const command of script) {
          // Each command has what its method takes.
          for (const answers of [pair[command.name](command as never), pair.waiting()])
            expect(answers?.[0]).toStrictEqual(answers?.[1])
        }
        for (let left = 0; left <= SLOTS; left++) {
          const [slot, expected] = pair.claim({ actor: 0 })!
          expect(slot).toBe(expected)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  /** What happened to a task, counted in claims. */
  interface Record {
    readonly priority: number
    readonly admittedAt: number
    readonly claimsBefore: number
    wait: number
  }

  test('a task waits for at most twice what has come before it, by its age and by its priority', () => {
    const ageing = 10
    const script = fc.array(fc.oneof(submissions, claims, advances), { maxLength: 150 })
    const actorCounts = fc.integer({ min: 1, max: ACTORS })
    fc.assert(
      fc.property(script, actorCounts, (commandsOf, actorCount) => {
        const shared = new SharedQueue({ priorities: 4, ageing })
        const actors = Array.from({ length: actorCount }, () => shared.another())
        const inSlot = new Map<number, Record>()
        const records: Record[] = []
        let now = 0
        let claimCount = 0
        const claim = (actor: number): boolean => {
          const slot = actors[actor]!.queue.claim(actor)
          if (slot < 0) return false
          const record = inSlot.get(slot)!
          record.wait = claimCount++ - record.claimsBefore
          inSlot.delete(slot)
          shared.free(slot)
          return true
        }
        for (const command of commandsOf) {
          if (command.name === 'advance') now += command.by
          else if (command.name === 'claim') claim(command.actor % actorCount)
          else if (!inSlot.has(command.slot)) {
            const { slot, priority } = command
            const record = { priority, admittedAt: now, claimsBefore: claimCount, wait: -1 }
            inSlot.set(slot, record)
            records.push(record)
            shared.submit(slot, priority, now)
          }
        }
        while (claim(0));
        for (const [index, task] of records.entries()) {
          // Of those that waited at the same time, or came while it did.
          const others = records.filter(
            (other, at) =>
              other !== task &&
              (at > index || other.claimsBefore + other.wait >= task.claimsBefore) &&
              other.claimsBefore <= task.claimsBefore + task.wait,
          )
          const byAge = others.filter(
            ({ priority, admittedAt }) =>
              admittedAt <= task.admittedAt + (priority - task.priority) * ageing,
          )
          const byPriority = others.filter(
            (other) =>
              other.priority > task.priority ||
              (other.priority === task.priority && records.indexOf(other) < index),
          )
          expect(task.wait).toBeLessThanOrEqual(2 * byAge.length + actorCount)
          expect(task.wait).toBeLessThanOrEqual(2 * byPriority.length + actorCount)
        }
      }),
      { numRuns: 2_000 },
    )
  })
})
