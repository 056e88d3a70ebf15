import { describe, expect, test } from 'vitest'
import { WorkTask } from '../fixtures/work.ts'
import { Bottleneck } from '../support/bottleneck.ts'
import { describeIsolations, rejection, turn } from '../support/flow.ts'

const LOW = 0
const MIDDLE = 1
const HIGH = 2
const queuePriorities = 3
/** Tasks of high priority that wait at any time: far more than the step can handle. */
const BACKLOG = 10

/** One task is finished, and before that another of high priority has come. */
async function load(bottleneck: Bottleneck): Promise<void> {
  bottleneck.give(HIGH)
  await bottleneck.next()
}

describeIsolations('ageing', (isolation) => {
  describe.each([
    [1, 0],
    [2, 0],
    [2, 1],
  ])('in a flow of %i steps, in front of the step with index %i', (steps, step) => {
    /** The step has its hands full of high priority, and keeps them full with each `load()`. */
    async function overloaded(priorityAgeing: number): Promise<Bottleneck> {
      const bottleneck = await Bottleneck.open(isolation, steps, step, {
        queuePriorities,
        priorityAgeing,
      })
      for (let id = 0; id < BACKLOG; id++) bottleneck.give(HIGH)
      return bottleneck
    }

    test('a permanent overload of high priority does not starve low priority, and what it waits for is bounded', async () => {
      const priorityAgeing = 20
      await using bottleneck = await overloaded(priorityAgeing)
      const others = [LOW, MIDDLE, LOW, LOW, MIDDLE].map((priority) => bottleneck.give(priority))
      for (let round = 0; round < 5; round++) {
        await load(bottleneck)
        others.push(bottleneck.give(LOW))
      }
      while (others.some(({ call }) => call === undefined)) await load(bottleneck)
      expect(bottleneck.queued).toBeGreaterThanOrEqual(BACKLOG) // the overload has never ended
      const given = await bottleneck.finish()
      for (const one of given.filter(({ task }) => others.includes(task))) {
        const waiting = given.filter(
          (other) => other !== one && other.task.call! > one.startedBefore,
        )
        const ahead = (other: (typeof given)[number]): number =>
          (other.priority - one.priority) * priorityAgeing
        // What came before it, head starts counted; where the clock was too close to call, it counts as such.
        const earlier = waiting.filter((other) => other.before <= one.after + ahead(other))
        const wait = one.task.call! - 1 - one.startedBefore
        expect(wait).toBeLessThanOrEqual(2 * earlier.length + 1)
        const surelyBefore = given.filter(
          (other) => other.priority > one.priority && other.after < one.before + ahead(other),
        )
        for (const { task } of surelyBefore) expect(task.call).toBeLessThan(one.task.call!)
      }
    })

    test('with strict priorities an overload of high priority keeps low priority from starting', async () => {
      await using bottleneck = await overloaded(Infinity)
      const others = [LOW, MIDDLE, LOW].map((priority) => bottleneck.give(priority))
      for (let round = 0; round < 100; round++) await load(bottleneck)
      const given = await bottleneck.finish()
      for (const { priority } of given.slice(1, -3)) expect(priority).toBe(HIGH)
      expect(given.slice(-3).map(({ task }) => task)).toEqual([others[1], others[0], others[2]])
    })

    test('a backlog of low priority that has aged does not shut high priority out', async () => {
      await using bottleneck = await Bottleneck.open(isolation, steps, step, {
        queuePriorities,
        priorityAgeing: 0,
      })
      for (let id = 0; id < 100; id++) bottleneck.give(LOW)
      for (const priority of [HIGH, HIGH, MIDDLE, HIGH]) bottleneck.give(priority)
      await bottleneck.arrived()
      const given = await bottleneck.finish()
      const urgent = given.filter(({ priority }) => priority > LOW)
      expect(urgent.map(({ priority }) => priority)).toEqual([HIGH, HIGH, HIGH, MIDDLE])
      for (const [index, { task }] of urgent.entries())
        expect(task.call).toBeLessThanOrEqual(1 + 2 * (index + 1))
    })
  })

  test('a backlog of low priority that waits to be admitted does not shut high priority out', async () => {
    const options = { queuePriorities, priorityAgeing: 0 }
    await using bottleneck = await Bottleneck.open(isolation, 1, 0, options, 5)
    for (let id = 0; id < 200; id++) bottleneck.give(LOW)
    for (const priority of [HIGH, HIGH, MIDDLE, HIGH]) bottleneck.give(priority)
    const given = await bottleneck.finish()
    const urgent = given.filter(({ priority }) => priority > LOW)
    for (const [index, { task }] of urgent.entries())
      expect(task.call).toBeLessThanOrEqual(1 + 2 * (index + 1))
  })

  test('a priority whose queue is full does not keep another from its own', async () => {
    const options = { queuePriorities, priorityAgeing: Infinity }
    await using bottleneck = await Bottleneck.open(isolation, 1, 0, options, 1)
    const waitingBy = async (count: number): Promise<void> => {
      await turn()
      expect(bottleneck.queued).toBe(count)
    }
    for (let id = 0; id < 3; id++) bottleneck.give(HIGH)
    await waitingBy(1)
    bottleneck.give(LOW)
    await waitingBy(2)
    // Nor does it when the other waits for room as well, and gets some.
    const caller = new AbortController()
    const gone = rejection(
      bottleneck.flow.process(new WorkTask(-1), { signal: caller.signal, priority: MIDDLE }),
    )
    bottleneck.give(MIDDLE)
    await waitingBy(3)
    caller.abort()
    await gone
    await waitingBy(3)
    await bottleneck.finish()
  })
})
