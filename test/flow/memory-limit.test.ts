import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { PAGE_BYTES } from '../../src/memory/geometry.ts'
import { ResizeTask, Resizer } from '../fixtures/resize.ts'
import { describeIsolations, started, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { SmallFlow } from '../support/small-flow.ts'

const KIB = 1024

const image = (pages: number): object => ({ image: new Uint8Array(pages * PAGE_BYTES) })

describeIsolations('at the limit of the memory', (isolation) => {
  const resizing = (memory: number, steps = 3): Promise<Flow<ResizeTask>> =>
    started(
      new Flow(
        Array.from(
          { length: steps },
          (_, step) => new FlowStep(Resizer, { name: `step${step}`, isolation, queueSize: 1_000 }),
        ),
        { memory },
      ),
    )

  test('a result that needs what queued tasks hold gets it, and they are done after it, in order', async () => {
    await using gate = await Gate.close()
    await using flow = await resizing(1_200 * KIB, 1)
    const order: number[] = []
    const give = async (id: number, to: number): Promise<void> => {
      using task = new ResizeTask(id, 100 * KIB, [to * KIB], gate.name)
      const { data } = await flow.process(task, { timeout: 60_000 })
      order.push(id)
      expect([...new Set(data)]).toEqual([id])
    }
    const first = give(1, 900) // 1,000 KiB with its body
    await gate.visited()
    const others = [2, 3, 4, 5, 6, 7, 8, 9].map((id) => give(id, 100))
    await until(() => flow.stats().memory.blocksInUse > 6, 'the others fill the memory')
    gate.open()
    await Promise.all([first, ...others])
    expect(order).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(flow.stats().memory.blocksInUse).toBe(0)
    expect(flow.stats().tasks).toMatchObject({ admitted: 9, completed: 9, pending: 0 })
  })

  test('tasks of mixed sizes go through, whatever is in the memory', async () => {
    await using flow = await resizing(1_200 * KIB)
    let seed = 1
    const random = (): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
      return seed / 2 ** 32
    }
    const size = (most: number): number => Math.floor(KIB * (most / KIB) ** random())
    let next = 0
    const one = async (): Promise<void> => {
      while (next < 2_000) {
        const id = next++
        const body = size(256 * KIB)
        // Twice as large after the first step, small after the second, of any size at the end.
        const sizes = [2 * body, Math.ceil(body / 16), size(256 * KIB)]
        using task = new ResizeTask(id, body, sizes)
        const { data } = await flow.process(task, { timeout: Infinity })
        expect([data.length, data[0], data.at(-1)]).toEqual([sizes[2], id & 0xff, id & 0xff])
      }
    }
    await Promise.all(Array.from({ length: 40 }, one))
    expect(flow.stats().tasks).toMatchObject({ admitted: 2_000, completed: 2_000, pending: 0 })
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })
})

test('what steps have added to a task is left free for them, as long as a task fits beside it', () => {
  const flow = new SmallFlow() // 64 pages, 48 of them for admission, 56 after the first step
  const { control } = flow
  const admitted = (pages: number): boolean => {
    const task = flow.submit(image(pages))
    const isIn = control.blocks.pagesInUse() > 0
    flow.client.failAll()
    expect([flow.isCompleted(task), control.blocks.pagesInUse()]).toEqual([false, 0])
    return isIn
  }
  expect([0, 1, 2].map((stage) => control.pageLimitNow(stage, 1))).toEqual([48, 56, 64])
  control.needs.raise(0, 30)
  control.needs.raise(0, 20)
  expect([0, 1, 2].map((stage) => control.pageLimitNow(stage, 1))).toEqual([26, 56, 64])
  control.needs.raise(1, 10)
  expect([0, 1, 2].map((stage) => control.pageLimitNow(stage, 1))).toEqual([24, 54, 64])
  expect(control.pageLimitNow(0, 40)).toBe(48) // it would never be let in otherwise
  expect([20, 24, 40].map(admitted)).toEqual([true, true, true])
  flow.close()
})

test('while a worker waits for memory nothing is admitted that takes some, and it ends with the worker', () => {
  const flow = new SmallFlow()
  const { control } = flow
  const worker = 1
  control.needs.want(worker, 10)
  flow.submit(image(1))
  const small = flow.submit({ number: 1 }, Infinity, undefined, 1)
  expect(control.blocks.pagesInUse()).toBe(0)
  expect(flow.admitted()).toEqual([0, 1, 0])
  flow.recover(0, 0)
  expect(control.needs.mostInUse()).toBe(Infinity)
  flow.client.tick()
  expect(flow.admitted()).toEqual([1, 1, 0])
  expect(flow.outcomes.get(small)!.timesSettled).toBe(0)
  flow.finish([() => undefined, () => undefined])
  flow.release()
  expect(flow.leftovers()).toEqual({})
  flow.close()
})

test('what is taken back is what came last with the lowest priority, and no more than is needed', () => {
  const flow = new SmallFlow()
  const { control } = flow
  flow.submit(image(10), Infinity, undefined, 2)
  flow.submit(image(10), Infinity, undefined, 0)
  flow.submit(image(10), Infinity, undefined, 0)
  flow.submit(image(10), Infinity, undefined, 1)
  expect([flow.admitted(), control.blocks.pagesInUse()]).toEqual([[2, 1, 1], 40])
  control.needs.want(1, 35)
  flow.client.tick()
  expect([flow.admitted(), control.blocks.pagesInUse()]).toEqual([[1, 1, 1], 30])
  control.needs.want(1, 15)
  flow.client.tick()
  expect([flow.admitted(), control.blocks.pagesInUse()]).toEqual([[0, 0, 1], 10])
  control.needs.endWant(1)
  flow.client.tick()
  expect([flow.admitted(), control.blocks.pagesInUse()]).toEqual([[2, 1, 1], 40])
  flow.finish([() => undefined, () => undefined])
  flow.release()
  expect(flow.leftovers()).toEqual({})
  flow.close()
})

test('all that waits for memory until the same deadline is told so', async () => {
  const flow = new SmallFlow()
  flow.submit(image(40))
  const waiting = [1, 2, 3].map(() => flow.submit(image(20), 10))
  flow.setTime(10)
  flow.client.tick()
  expect(waiting.map((task) => flow.outcomes.get(task)!.timesSettled)).toEqual([1, 1, 1])
  await Promise.resolve() // the callers hear of it
  for (const task of waiting)
    expect(flow.outcomes.get(task)!.error).toMatchObject({ code: 'AQ_OUT_OF_MEMORY' })
  flow.finish([() => undefined, () => undefined])
  flow.release()
  expect(flow.leftovers()).toEqual({})
  flow.close()
})
