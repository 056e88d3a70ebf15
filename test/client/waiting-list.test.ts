import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Waiting, WaitingList } from '../../src/client/waiting-list.ts'

const entry = (): Waiting => ({ place: undefined })

test('behaves like an array, whatever joins, goes first and leaves from anywhere', () => {
  const command = fc.record({
    what: fc.oneof(
      { weight: 5, arbitrary: fc.constant('add' as const) },
      { weight: 1, arbitrary: fc.constant('addFirst' as const) },
      { weight: 3, arbitrary: fc.constant('removeFirst' as const) },
      { weight: 3, arbitrary: fc.constant('removeAny' as const) },
    ),
    at: fc.nat(),
    times: fc.integer({ min: 1, max: 40 }),
  })
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (script) => {
      const list = new WaitingList<Waiting>()
      const reference: Waiting[] = []
      const gone: Waiting[] = []
      const removals: boolean[] = []
      for (const { what, at, times } of script) {
        for (let time = 0; time < times; time++) {
          if (what === 'add') {
            const added = gone.pop() ?? entry()
            list.add(added)
            reference.push(added)
          } else if (what === 'addFirst') {
            const added = gone.pop() ?? entry()
            list.addFirst(added)
            reference.unshift(added)
          } else if (reference.length > 0) {
            const index = what === 'removeFirst' ? 0 : (at + 7 * time) % reference.length
            const [removed] = reference.splice(index, 1)
            removals.push(list.remove(removed!), !list.remove(removed!))
            gone.push(removed!)
          }
          expect(list.first).toBe(reference[0])
        }
      }
      expect(removals).not.toContain(false)
      for (const left of reference) {
        expect(list.first).toBe(left)
        list.remove(left)
      }
      expect(list.first).toBeUndefined()
    }),
    { numRuns: 500 },
  )
})
