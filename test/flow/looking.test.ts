import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { Spinner } from '../../src/transport/spinner.ts'
import { TurnHandler, TurnTask, WaitingHandler } from '../fixtures/turning.ts'
import { describeIsolations, started } from '../support/flow.ts'

const MOST_TASKS = 200_000

describeIsolations('looking for work', (isolation) => {
  test("a worker that always finds some still lets its handler's timers come", async () => {
    await using flow = await started(
      new Flow([new FlowStep(TurnHandler, { isolation })], { spin: 100 }),
    )
    let ticks = 0
    let tasks = 0
    for (; ticks < 3 && tasks < MOST_TASKS; tasks++) {
      ticks = (await flow.process(new TurnTask())).ticks ?? 0
    }
    expect(ticks).toBeGreaterThanOrEqual(3)
    await flow.stop()
    expect(flow.stats().tasks).toMatchObject({ completed: tasks, pending: 0 })
  })

  test('a worker looks for none while a batch in its hands waits for the event loop', async () => {
    await using flow = await started(
      new Flow([new FlowStep(WaitingHandler, { isolation, concurrency: 2 })], { spin: 2_000 }),
    )
    await flow.process(new TurnTask(), { timeout: 1_000 })
    expect(flow.stats().tasks).toMatchObject({ completed: 1 })
  })
})

test('an actor looks for as long as it may while looking pays', () => {
  const spinner = new Spinner(0.5)
  for (let idle = 0; idle < 100; idle++) {
    expect(spinner.begin(idle)).toBe(idle + 0.5)
    if (idle % 3 === 0) spinner.miss()
    else spinner.hit()
  }
})

test('an actor that has looked in vain sleeps at once, and tries again more and more seldom', () => {
  const spinner = new Spinner(0.5)
  let vain = 0
  while (spinner.begin(0) > 0 && vain < 100) {
    spinner.miss()
    vain++
  }
  expect(vain).toBeLessThan(10)
  const gaps: number[] = []
  for (let trial = 0, gap = 1; trial < 8; gap++) {
    if (spinner.begin(0) === 0) continue
    gaps.push(gap)
    spinner.miss()
    trial++
    gap = 0
  }
  expect(gaps).toEqual([3, 8, 16, 32, 64, 128, 256, 256])
})

test('one trial that finds work is enough to look again', () => {
  const spinner = new Spinner(0.5)
  while (spinner.begin(0) > 0) spinner.miss()
  while (spinner.begin(0) === 0);
  spinner.hit()
  expect(spinner.begin(1)).toBe(1.5)
})

test('an actor that may not look never does', () => {
  const spinner = new Spinner(0)
  expect(spinner.begin(7)).toBe(0)
})
