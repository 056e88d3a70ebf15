import { describe, expect, test } from 'vitest'
import type { Plan } from '../../src/chaos/attempt.ts'
import { builtInService } from '../../src/chaos/built-in.ts'
import { harmfulPlan, stormPlan } from '../../src/chaos/plans.ts'
import { Randomness, momentsOf } from '../../src/chaos/random.ts'
import type { ChaosService } from '../../src/chaos/service.ts'

const service = builtInService() as unknown as ChaosService

/** What a plan is, without its payload: that follows from where in the whole it lies. */
const gistOf = ({ task, ...plan }: Plan): object => {
  const { id, offset, size, poison } = task as unknown as Record<string, unknown>
  return { ...plan, id, offset, size, poison }
}

const tasksOf = (seed: number, count: number): object[] => {
  const random = new Randomness(seed).stream('storm')
  return Array.from({ length: count }, () => gistOf(stormPlan(service, random)))
}

describe('a seed', () => {
  test('repeats the tasks, their callers and what harm they do', () => {
    expect(tasksOf(7, 500)).toEqual(tasksOf(7, 500))
    expect(tasksOf(8, 500)).not.toEqual(tasksOf(7, 500))
  })

  test('repeats the moments of kills, however many tasks there were', () => {
    const [one, other] = [new Randomness(7), new Randomness(7)]
    const tasks = other.stream('storm')
    for (let count = 0; count < 1000; count++) stormPlan(service, tasks)
    const moments = momentsOf(one.stream('kills'), 50, 1000)
    expect(momentsOf(other.stream('kills'), 50, 1000)).toEqual(moments)
    expect(moments).toEqual(moments.toSorted((a, b) => a - b))
    expect(momentsOf(new Randomness(8).stream('kills'), 50, 1000)).not.toEqual(moments)
  })

  test('next to another has nothing in common with it', () => {
    const firsts = Array.from({ length: 100 }, (_, seed) => new Randomness(seed).stream('kills')())
    const rising = firsts.filter((number, seed) => number > (firsts[seed - 1] ?? 0)).length
    expect(rising).toBeGreaterThan(30)
    expect(rising).toBeLessThan(70)
    expect(Math.min(...firsts)).toBeLessThan(0.1)
    expect(Math.max(...firsts)).toBeGreaterThan(0.9)
  })
})

describe('the tasks of a storm', () => {
  const plans = (() => {
    const random = new Randomness(1).stream('storm')
    return Array.from({ length: 5000 }, () => stormPlan(service, random))
  })()
  const shareOf = (is: (plan: Plan) => boolean): number => plans.filter(is).length / plans.length

  test('are of all sizes, from bytes to megabytes', () => {
    const sizes = plans.map(({ task }) => (task as unknown as { size: number }).size)
    expect(Math.min(...sizes)).toBeLessThan(100)
    expect(Math.max(...sizes)).toBeGreaterThan(3 * 2 ** 20)
  })

  test('are of all priorities; some callers are in a hurry, some hang up, some tasks throw', () => {
    for (const priority of [0, 1, 2])
      expect(shareOf((plan) => plan.priority === priority)).toBeCloseTo(1 / 3, 1)
    expect(shareOf(({ timeout }) => timeout !== Infinity)).toBeCloseTo(0.1, 1)
    expect(shareOf(({ hangUpAfter }) => hangUpAfter !== undefined)).toBeCloseTo(0.1, 1)
    expect(shareOf(({ harm }) => harm === 'throw')).toBeGreaterThan(0.01)
  })

  test('that do harm do it at every step and in every way', () => {
    const random = new Randomness(1).stream('harms')
    const poisons = Array.from({ length: 100 }, () => harmfulPlan(service, 'die', random)!.task)
      .map((task) => (task as unknown as { poison: { step: string; how: string } }).poison)
      .map(({ step, how }) => `${step} ${how}`)
    expect(new Set(poisons).size).toBe(9)
  })
})
