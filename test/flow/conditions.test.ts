import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { First, PickyTask, Second, Third } from '../fixtures/conditions.ts'
import { describeIsolations, rejection, started, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

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

  test('a condition is asked where the task is: by the caller for its first step, then by the worker that has it', async () => {
    await using flow = await picky()
    for (const [wants, asked] of [
      [
        ['First', 'Third'],
        ['caller: First', 'First: Second', 'First: Third'],
      ],
      [
        ['Second', 'Third'],
        ['caller: First', 'caller: Second', 'Second: Third'],
      ],
      [['First'], ['caller: First', 'First: Second', 'First: Third']],
      [[], ['caller: First', 'caller: Second', 'caller: Third']],
    ]) {
      const task = await flow.process(new PickyTask(wants!))
      expect(task.asked).toEqual(asked)
    }
  })

  test('a step that is skipped is not on the way: its queue may be full and its worker stuck', async () => {
    await using gate = await Gate.close()
    await using flow = await started(
      new Flow([
        new FlowStep(First, { isolation }),
        new FlowStep(Second, { isolation, handleCondition: 'wantsSecond', queueSize: 1 }),
        new FlowStep(Third, { isolation, handleCondition: 'wantsThird' }),
      ]),
    )
    const stuck = Object.assign(new PickyTask(['Second']), { gate: gate.name })
    const waits = new PickyTask(['Second'])
    const blocked = [stuck, waits].map((task) => flow.process(task, { timeout: Infinity }))
    await gate.visited()
    await until(() => flow.stats().steps[1]!.queued === 1, 'the queue of the second step is full')
    const third = await flow.process(new PickyTask(['Third']))
    expect(third.seen).toEqual(['First', 'Third'])
    const out = await flow.process(new PickyTask([]))
    expect(out.seen).toEqual(['First'])
    expect(out.timings!.steps.map(({ step }) => step)).toEqual(['First'])
    // No other worker has touched it, and none was woken for it.
    expect(flow.stats().steps.map(({ tasks }) => tasks)).toEqual([4, 0, 1])
    gate.open()
    for (const { seen } of await Promise.all(blocked)) expect(seen).toEqual(['First', 'Second'])
  })

  test('where steps have different conditions, each task takes its own way', async () => {
    await using flow = await picky()
    const ways = [[], ['First'], ['Second'], ['Third'], ['First', 'Second'], ['Second', 'Third']]
    const tasks = await Promise.all(
      Array.from({ length: 300 }, (_, index) => flow.process(new PickyTask(ways[index % 6]!))),
    )
    expect(tasks.map(({ seen }) => seen)).toEqual(tasks.map(({ wants }) => wants))
  })
})
