import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { DeathTask, Invert } from '../fixtures/deaths.ts'
import { ImageTask, NegativeHandler, ReferenceHandler } from '../fixtures/images.ts'
import { SyncHandler, WorkHandler, WorkTask } from '../fixtures/work.ts'
import { Journal, describeIsolations, pidsOf, rejection, started } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

const MiB = 2 ** 20

describeIsolations('several flows in one program', (isolation) => {
  const working = (options = {}): Promise<Flow<WorkTask>> =>
    started(new Flow([new FlowStep(WorkHandler, { isolation, ...options })]))

  test('each handles its own tasks with its own workers, at the same time', async () => {
    await using one = await working({ batchSize: 3 })
    await using other = await working({ batchSize: 5 })
    await using third = await started(new Flow([new FlowStep(SyncHandler, { isolation })]))
    const flows = [one, other, third]
    const tasks = await Promise.all(
      Array.from({ length: 300 }, (_, id) => flows[id % 3]!.process(new WorkTask(id))),
    )
    for (const { id, batch, pid } of tasks) {
      for (const companion of batch!) expect(companion % 3).toBe(id % 3)
      expect(pidsOf(flows[id % 3]!)).toEqual([pid])
    }
    for (const flow of flows)
      expect(flow.stats().tasks).toMatchObject({ admitted: 100, completed: 100 })
  })

  test('a task that one of them has is refused by the others', async () => {
    await using gate = await Gate.close()
    await using one = await working()
    await using other = await working()
    const task = new WorkTask(1, { gate: gate.name })
    const processing = one.process(task)
    expect(await rejection(other.process(task))).toMatchObject({ code: 'AQ_TASK_IN_FLIGHT' })
    gate.open()
    await processing
    await expect(other.process(task)).resolves.toBe(task)
  })

  test('a result of one may go into a task of another', async () => {
    await using one = await started(new Flow([new FlowStep(NegativeHandler, { isolation })]))
    await using other = await started(new Flow([new FlowStep(ReferenceHandler, { isolation })]))
    const first = await one.process(new ImageTask(7, MiB))
    const second = await other.process(new ImageTask(8, 1, first.negative))
    const expected = Buffer.alloc(MiB, ~7)
    expect(expected.equals(second.negative!)).toBe(true)
    first.release()
    expect(expected.equals(second.negative!)).toBe(true)
    second.release()
    for (const flow of [one, other]) expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('one that is stopped, and one whose worker ends, do not disturb the others', async () => {
    await using gate = await Gate.close()
    const journal = new Journal()
    const stopped = await working()
    await using dying = await started(
      new Flow([new FlowStep(Invert, { isolation })], { logger: journal }),
    )
    await using steady = await working()
    const held = steady.process(new WorkTask(0, { gate: gate.name }))
    await gate.visited()
    const left = rejection(stopped.process(new WorkTask(1, { gate: gate.name })))
    await stopped.stop({ graceful: false })
    expect(await left).toMatchObject({ code: 'AQ_STOPPED' })
    const fatal = Object.assign(new DeathTask(0, 1), { exitAt: 'Invert' })
    expect(await rejection(dying.process(fatal))).toMatchObject({ code: 'AQ_TASK_POISONED' })
    gate.open()
    await expect(held).resolves.toMatchObject({ call: 1 })
    await expect(steady.process(new WorkTask(2))).resolves.toMatchObject({ call: 2 })
    expect(steady.stats().workers).toMatchObject([{ restarts: 0, state: 'running' }])
    const next = await dying.process(new DeathTask(1, 10))
    expect(next.seen).toEqual(['Invert'])
  })
})
