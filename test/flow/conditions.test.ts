import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { First, PickyTask, Second, Third } from '../fixtures/conditions.ts'
import { describeIsolations, rejection, started } from '../support/flow.ts'

describeIsolations('conditions', (isolation) => {
  const picky = (): Promise<Flow<PickyTask>> =>
    started(
      new Flow([
        new FlowStep(First, { isolation, handleCondition: 'wantsFirst', batchSize: 4 }),
        new FlowStep(Second, { isolation, handleCondition: 'wantsSecond', batchSize: 4 }),
        new FlowStep(Third, { isolation, handleCondition: 'wantsThird', batchSize: 4 }),
      ]),
    )

  test.each([
    ['skips a step in the middle', ['First', 'Third']],
    ['skips the first step', ['Second', 'Third']],
    ['skips to the output', ['First']],
    ['goes through all of them', ['First', 'Second', 'Third']],
    ['is finished at once when it wants none', []],
  ])('a task %s', async (_, wants) => {
    await using flow = await picky()
    const task = await flow.process(new PickyTask(wants))
    expect(task.seen).toEqual(wants)
    expect((task.timings?.steps ?? []).map(({ step }) => step)).toEqual(wants)
    expect(flow.stats().tasks).toMatchObject({ admitted: 1, completed: 1, pending: 0 })
  })

  test.each(['First', 'Second', 'Third'])(
    'a condition of step %s that throws fails its task alone',
    async (step) => {
      await using flow = await picky()
      const wants = ['First', 'Second', 'Third'].filter((name) => name !== step)
      const bad = rejection(flow.process(new PickyTask(wants, step)))
      const good = await Promise.all(
        Array.from({ length: 7 }, () => flow.process(new PickyTask(wants))),
      )
      for (const { seen } of good) expect(seen).toEqual(wants)
      const error = (await bad) as Error
      expect([error.message, (error.cause as Error | undefined)?.message]).toContain(
        `cannot tell whether it wants ${step}`,
      )
      expect(flow.stats().tasks).toMatchObject({ completed: 7, pending: 0 })
    },
  )

  test('where steps have different conditions, each task takes its own way', async () => {
    await using flow = await picky()
    const ways = [[], ['First'], ['Second'], ['Third'], ['First', 'Second'], ['Second', 'Third']]
    const tasks = await Promise.all(
      Array.from({ length: 300 }, (_, index) => flow.process(new PickyTask(ways[index % 6]!))),
    )
    expect(tasks.map(({ seen }) => seen)).toEqual(tasks.map(({ wants }) => wants))
  })
})
