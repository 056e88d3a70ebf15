import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { eachDeath, eachPreemption } from '../support/atomics.ts'
import { isLinearizable, type Observed } from '../support/linearize.ts'
import { contents, ringAt, sameRing, take } from '../support/ring.ts'
import { cellOf, generationOf, MAX_SLOTS, type Ring, slotOf } from '../../src/transport/ring.ts'

/** Where a ring may stand: new, in some lap, and just before its positions and laps wrap. */
const positions = [0, 5, 0x7fff_fffe, 0xffff_fff9, 0xffff_fffd, 0xffff_ffff]
const capacities = [2, 4]
const shifts = fc.integer({ min: 1, max: 4 })
const anyPosition = fc.oneof(
  fc.constantFrom(...positions),
  fc.integer({ min: 0, max: 0xffff_ffff }),
)
let nextSlot = 0
const newCell = (): number => cellOf(nextSlot++ % MAX_SLOTS, 7)

/** Fills and empties the ring, a few laps long, as one producer and one consumer would who know nothing of the past. */
function expectWorks(words: Int32Array, expected: readonly number[]): void {
  const ring = sameRing(words)
  const claimed = new Set<number>()
  const reference = [...expected]
  for (let round = 0; round < 3 * ring.capacity; round++) {
    while (reference.length < ring.capacity) {
      const cell = newCell()
      expect(ring.push(cell)).toBe(true)
      reference.push(cell)
    }
    expect(ring.push(newCell())).toBe(false)
    for (let count = 0; count <= round % ring.capacity; count++)
      expect(take(ring, claimed)).toBe(reference.shift())
  }
  while (reference.length > 0) expect(take(ring, claimed)).toBe(reference.shift())
  expect(ring.peek()).toBe(0)
  expect(ring.isEmpty()).toBe(true)
}

test('a cell names its slot and generation', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: MAX_SLOTS - 1 }),
      fc.integer({ min: 0, max: 0x3fff }),
      (slot, generation) => {
        const cell = cellOf(slot, generation)
        expect(cell).toBeLessThan(0)
        expect([slotOf(cell), generationOf(cell)]).toStrictEqual([slot, generation])
      },
    ),
  )
})

test('behaves like an array of limited length, lap after lap, past the wrap of its positions', () => {
  fc.assert(
    fc.property(
      shifts,
      anyPosition,
      fc.array(
        fc.constantFrom('push' as const, 'take' as const, 'peek' as const, 'look' as const),
        { maxLength: 200 },
      ),
      (shift, position, operations) => {
        const { ring } = ringAt(1 << shift, position)
        const reference: number[] = []
        const claimed = new Set<number>()
        const attempts = {
          push: () => {
            const cell = newCell()
            const hasRoom = reference.length < ring.capacity
            expect(ring.push(cell)).toBe(hasRoom)
            if (hasRoom) reference.push(cell)
          },
          take: () => expect(take(ring, claimed)).toBe(reference.shift() ?? 0),
          peek: () => expect(ring.peek()).toBe(reference[0] ?? 0),
          look: () => {
            expect(contents(ring)).toStrictEqual(reference)
            expect(ring).toHaveLength(reference.length)
          },
        }
        for (const operation of operations) attempts[operation]()
      },
    ),
    { numRuns: 300 },
  )
})

test('with one consumer, who takes alone: an array of limited length, of which producers see what was passed', () => {
  fc.assert(
    fc.property(
      shifts,
      anyPosition,
      fc.array(fc.constantFrom('push' as const, 'take' as const, 'pass' as const), {
        maxLength: 200,
      }),
      (shift, position, operations) => {
        const { words, ring } = ringAt(1 << shift, position)
        const consumer = sameRing(words)
        const reference: number[] = []
        let notPassed = 0
        const attempts = {
          push: () => {
            const cell = newCell()
            // Once the ring looks full its producer finds the cells that are empty, passed or not.
            const hasRoom = reference.length < ring.capacity
            expect(ring.push(cell)).toBe(hasRoom)
            if (hasRoom) reference.push(cell)
          },
          take: () => {
            const taken = consumer.takeAlone()
            expect(taken).toBe(reference.shift() ?? 0)
            if (taken !== 0) notPassed++
          },
          pass: () => {
            consumer.passTaken()
            notPassed = 0
            expect(ring).toHaveLength(reference.length)
          },
        }
        for (const operation of operations) attempts[operation]()
        expect(ring.length).toBeLessThanOrEqual(reference.length + notPassed)
        expect(contents(sameRing(words))).toStrictEqual(reference)
      },
    ),
    { numRuns: 300 },
  )
})

describe.each(capacities)('a ring of %i cells', (capacity) => {
  test.each(positions)('whose only consumer dies at any step, from position %i on', (position) => {
    for (let fill = 0; fill <= capacity; fill++) {
      eachDeath((die) => {
        const { words, ring } = ringAt(capacity, position)
        const held = Array.from({ length: fill }, newCell)
        for (const cell of held) ring.push(cell)
        const taken: number[] = []
        die(() => {
          const consumer = sameRing(words)
          for (let cell = consumer.takeAlone(); cell !== 0; cell = consumer.takeAlone())
            taken.push(cell)
          consumer.passTaken()
        })
        expect(taken).toStrictEqual(held.slice(0, taken.length))
        const next = sameRing(words)
        for (const cell of held.slice(taken.length)) expect(next.takeAlone()).toBe(cell)
        expect(next.takeAlone()).toBe(0)
        next.passTaken()
        expectWorks(words, [])
      })
    }
  })

  test.each(positions)(
    'whose only consumer is overtaken by producers at any step, from position %i on',
    (position) => {
      for (let fill = 0; fill <= capacity; fill++) {
        eachPreemption((preempted) => {
          const { words, ring } = ringAt(capacity, position)
          const pushed: number[] = []
          const push = (): void => {
            const cell = newCell()
            if (ring.push(cell)) pushed.push(cell)
          }
          for (let count = 0; count < fill; count++) push()
          const consumer = sameRing(words)
          const taken: number[] = []
          const takeAll = (): void => {
            for (let cell = consumer.takeAlone(); cell !== 0; cell = consumer.takeAlone())
              taken.push(cell)
            consumer.passTaken()
          }
          preempted(() => {
            for (let count = 0; count <= capacity; count++) push()
          }, takeAll)
          takeAll()
          expect(taken).toStrictEqual(pushed)
          expectWorks(words, [])
        })
      }
    },
  )

  describe.each(positions)('at position %i', (position) => {
    const fills = Array.from({ length: capacity + 1 }, (_, count) => count)

    test.each(fills)(
      '%i filled: a producer that dies has pushed or not, and hides nobody',
      (fill) => {
        eachDeath((die) => {
          const { words, ring } = ringAt(capacity, position)
          const held = Array.from({ length: fill }, newCell)
          for (const cell of held) ring.push(cell)
          const cell = newCell()
          die(() => ring.push(cell))
          const after = contents(sameRing(words))
          expect([held, [...held, cell]]).toContainEqual(after)
          expectWorks(words, after)
        })
      },
    )

    test.each(fills)('%i filled: a consumer that dies leaves the others in order', (fill) => {
      eachDeath((die) => {
        const { words, ring } = ringAt(capacity, position)
        const held = Array.from({ length: fill }, newCell)
        for (const cell of held) ring.push(cell)
        const claimed = new Set<number>()
        die(() => take(ring, claimed))
        const rest = held.filter((cell) => !claimed.has(cell))
        // The claimed cell may still be there, stale; whoever comes next removes it.
        const other = sameRing(words)
        for (const cell of rest) expect(take(other, claimed)).toBe(cell)
        expect(take(other, claimed)).toBe(0)
        expectWorks(words, [])
      })
    })

    test('twelve deaths in a row are no worse than one', () => {
      eachDeath((die, step) => {
        const { words, ring } = ringAt(capacity, position)
        const claimed = new Set<number>()
        const live = new Set<number>()
        for (let count = 0; count < 12; count++) {
          const cell = newCell()
          die(() => ((step + count) % 2 === 0 ? ring.push(cell) : take(ring, claimed)))
          for (const held of contents(sameRing(words))) live.add(held)
        }
        const other = sameRing(words)
        for (let cell = take(other, claimed); cell !== 0; cell = take(other, claimed))
          expect(live).toContain(cell)
        for (const cell of live) expect(claimed).toContain(cell)
        expectWorks(words, [])
      })
    })
  })

  describe.each([0, 0xffff_fffd])('at position %i, preempted at every step', (position) => {
    interface Model {
      readonly queue: number[]
    }
    type Step = 'push' | 'take'
    const operate = (ring: Ring, claimed: Set<number>, step: Step): Observed<Model> => {
      if (step === 'take') {
        const returned = take(ring, claimed)
        return { name: `take ${returned}`, apply: ({ queue }) => queue.shift() ?? 0, returned }
      }
      const cell = newCell()
      const returned = ring.push(cell)
      return {
        name: `push ${returned}`,
        apply: ({ queue }) => queue.length < capacity && queue.push(cell) > 0,
        returned,
      }
    }
    const expectLinear = (
      held: readonly number[],
      threads: readonly (readonly Observed<Model>[])[],
      words: Int32Array,
      claimed: ReadonlySet<number>,
    ): void => {
      const rest = contents(sameRing(words)).filter((cell) => !claimed.has(cell))
      const isRight = isLinearizable<Model>(
        { queue: [...held] },
        ({ queue }) => ({ queue: [...queue] }),
        threads,
        ({ queue }) => String(queue) === String(rest),
      )
      if (!isRight) {
        const story = threads.map((thread) => thread.map(({ name }) => name).join(', ')).join(' | ')
        expect.fail(`${held.length} held, then ${story}, ${rest.length} left`)
      }
      expectWorks(
        words,
        contents(sameRing(words)).filter((cell) => !claimed.has(cell)),
      )
    }
    const intrusions: Step[][] = [
      ['push'],
      ['take'],
      ['take', 'push'],
      ['push', 'take'],
      ['take', 'take', 'push'],
      // More than a whole lap.
      Array.from({ length: 2 * capacity + 3 }, (_, index) => (index % 2 === 0 ? 'take' : 'push')),
    ]

    test.each<Step>(['push', 'take'])('a %s is whole, whatever others do meanwhile', (victim) => {
      for (let fill = 0; fill <= capacity; fill++) {
        for (const intrusion of intrusions) {
          eachPreemption((preempted) => {
            const { words, ring } = ringAt(capacity, position)
            const held = Array.from({ length: fill }, newCell)
            for (const cell of held) ring.push(cell)
            const claimed = new Set<number>()
            const others: Observed<Model>[] = []
            const mine: Observed<Model>[] = []
            preempted(
              () => {
                const other = sameRing(words)
                for (const step of intrusion) others.push(operate(other, claimed, step))
              },
              () => mine.push(operate(ring, claimed, victim)),
            )
            expectLinear(held, [mine, others], words, claimed)
          })
        }
      }
    })

    test('three actors, each in the middle of another', () => {
      const kinds: Step[] = ['push', 'take']
      for (let fill = 0; fill <= capacity; fill++) {
        for (const first of kinds) {
          for (const second of kinds) {
            for (const third of [['push'], ['take'], ['take', 'push']] as Step[][]) {
              eachPreemption((outer) => {
                eachPreemption((inner) => {
                  const { words, ring } = ringAt(capacity, position)
                  const held = Array.from({ length: fill }, newCell)
                  for (const cell of held) ring.push(cell)
                  const claimed = new Set<number>()
                  const threads: Observed<Model>[][] = [[], [], []]
                  const two = sameRing(words)
                  const three = sameRing(words)
                  outer(
                    () =>
                      inner(
                        () => {
                          for (const step of third) threads[2]!.push(operate(three, claimed, step))
                        },
                        () => threads[1]!.push(operate(two, claimed, second)),
                      ),
                    () => threads[0]!.push(operate(ring, claimed, first)),
                  )
                  expectLinear(held, threads, words, claimed)
                })
              })
            }
          }
        }
      }
    })
  })
})
