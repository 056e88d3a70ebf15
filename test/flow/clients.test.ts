import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import {
  Flow,
  FlowClient,
  type FlowOptions,
  FlowStep,
  HandlerError,
  InvalidTaskError,
  QueueFullError,
  TaskCancelledError,
  TaskTimeoutError,
} from '../../src/index.ts'
import { First, PickyTask, Second } from '../fixtures/conditions.ts'
import { PictureHandler, PictureTask } from '../fixtures/pictures.ts'
import { CircleTask, ShapeHandler, SquareTask } from '../fixtures/shapes.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { attachedTo, newAddress, programAt } from '../support/clients.ts'
import {
  Journal,
  describeIsolations,
  handsOutViews,
  rejection,
  started,
  until,
} from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

describeIsolations('a client in another process', (isolation) => {
  const pictures = (concurrency = 6) => new FlowStep(PictureHandler, { isolation, concurrency })

  test('has its tasks processed, and sees payloads in shared memory', async () => {
    const address = newAddress()
    await using flow = await started(new Flow([pictures()], { address }))
    await using client = new FlowClient({ address, task: PictureTask })
    await client.start()
    const first = await client.process(new PictureTask(7, 100_000))
    expect(new Set(first.picture)).toEqual(new Set([7]))
    // The result goes into the next task without a copy, as in the flow's own process.
    const second = new PictureTask(0, 0)
    second.picture = first.picture!
    expect((await client.process(second)).seen).toEqual([7])
    expect(second.timings?.steps).toHaveLength(1)
    expect(flow.stats().tasks).toMatchObject({ admitted: 2, completed: 2, pending: 0 })
    expect(client.stats().tasks).toMatchObject({ admitted: 2, completed: 2, pending: 0 })
  })

  test('that is killed leaves its tasks cancelled and its memory free, and disturbs nobody', async () => {
    const address = newAddress()
    const journal = new Journal()
    await using gate = await Gate.close()
    await using other = await Gate.close()
    await using flow = await started(
      new Flow([pictures()], { address, logger: journal, memory: 1 << 24 }),
    )
    await using killed = await programAt(address)
    await using bystander = await programAt(address)
    await journal.reached('info', 2)
    killed.tell('hold 3')
    expect(await killed.message()).toMatchObject({ held: 3 })
    killed.tell(`again ${gate.name}`)
    expect(await killed.message()).toEqual({ sent: 1 })
    await gate.visited()
    bystander.tell(`work ${other.name} 5`)
    expect(await bystander.message()).toEqual({ sent: 5 })
    await other.visited(5)
    killed.tell('work - 10')
    expect(await killed.message()).toEqual({ sent: 10 })
    expect(flow.stats().tasks).toMatchObject({ admitted: 19, pending: 16 })

    killed.kill('SIGKILL')
    await killed.ended()
    await until(() => flow.stats().tasks.pending === 5, 'the tasks of the dead are cancelled')
    // What lies in a worker's hands stays until it is done; the rest is free.
    expect(flow.stats().memory.blocksInUse).toBe(handsOutViews ? 3 : 0)
    gate.open()
    await journal.reached('info', 3)
    expect(flow.stats().memory.blocksInUse).toBe(0)
    other.open()
    expect(await bystander.message()).toEqual({ done: 5, codes: [] })
    expect(flow.stats().tasks).toMatchObject({ admitted: 19, cancelled: 11, completed: 8 })
    await expect(flow.process(new PictureTask(1, 10))).resolves.toMatchObject({ seen: [1] })
  })
})

describe('an attached client', () => {
  const isolation = 'thread'

  /** A client, and the flow that it is attached to, of one worker that handles one task at a time. */
  async function worked(options: FlowOptions = {}) {
    const address = newAddress()
    const flow = await started(
      new Flow([new FlowStep(WorkHandler, { isolation })], { address, ...options }),
    )
    const client = new FlowClient({ address, task: WorkTask })
    await client.start()
    return {
      flow,
      client,
      [Symbol.asyncDispose]: async () => {
        await client.stop({ graceful: false })
        await flow.stop({ graceful: false })
      },
    }
  }

  test('is told of deadlines as any caller', async () => {
    await using gate = await Gate.close()
    await using pair = await worked()
    const { client, flow } = pair
    // Long enough for the worker to have it before, however busy the machine is.
    const timeout = 2_000
    const running = rejection(client.process(new WorkTask(1, { gate: gate.name }), { timeout }))
    await gate.visited()
    const queued = rejection(client.process(new WorkTask(2), { timeout }))
    for (const error of await Promise.all([running, queued])) {
      expect(error).toBeInstanceOf(TaskTimeoutError)
      expect(error).toMatchObject({ timeout })
    }
    gate.open()
    expect(await client.process(new WorkTask(3))).toMatchObject({ call: 2 }) // the queued one was not handled
    expect(client.stats().tasks).toMatchObject({ admitted: 3, timedOut: 2, completed: 1 })
    expect(flow.stats().tasks).toMatchObject({ admitted: 3, timedOut: 2, completed: 1 })
  })

  test('can cancel its tasks, in a queue and in the hands of a worker', async () => {
    await using gate = await Gate.close()
    await using pair = await worked()
    const { client, flow } = pair
    const caller = new AbortController()
    const { signal } = caller
    const running = rejection(client.process(new WorkTask(1, { gate: gate.name }), { signal }))
    await gate.visited()
    const queued = rejection(client.process(new WorkTask(2), { signal }))
    caller.abort(new Error('enough'))
    for (const error of await Promise.all([running, queued])) {
      expect(error).toBeInstanceOf(TaskCancelledError)
      expect(error).toMatchObject({ cause: new Error('enough') })
    }
    gate.open()
    expect(await client.process(new WorkTask(3))).toMatchObject({ call: 2 })
    expect(flow.stats().tasks).toMatchObject({ admitted: 3, cancelled: 2, completed: 1 })
  })

  test('is told what a handler throws', async () => {
    await using pair = await worked()
    const error = await rejection(pair.client.process(new WorkTask(1, { throws: 'no' })))
    expect(error).toBeInstanceOf(HandlerError)
    expect(error).toMatchObject({ step: 'WorkHandler', cause: new RangeError('no') })
  })

  test('has urgent tasks go first, those of others too', async () => {
    await using gate = await Gate.close()
    await using pair = await worked({ queuePriorities: 2, priorityAgeing: Infinity })
    const { client, flow } = pair
    const first = client.process(new WorkTask(0, { gate: gate.name }))
    await gate.visited()
    const tasks = [
      client.process(new WorkTask(1), { priority: 0 }),
      flow.process(new WorkTask(2), { priority: 0 }),
      flow.process(new WorkTask(3), { priority: 1 }),
      client.process(new WorkTask(4), { priority: 1 }),
    ]
    gate.open()
    await first
    const handled = await Promise.all(tasks)
    const order = handled.toSorted((a, b) => a.call! - b.call!).map(({ id }) => id)
    expect(order).toEqual([3, 4, 1, 2])
  })

  test('may have as many tasks pending as the flow says, whatever others have', async () => {
    await using gate = await Gate.close()
    await using pair = await worked({ maxPending: 2 })
    const { client, flow } = pair
    const submit = (by: typeof client | typeof flow) =>
      by.process(new WorkTask(0, { gate: gate.name }), { timeout: Infinity })
    const tasks = [submit(client), submit(client)]
    const error = await rejection(submit(client))
    expect(error).toBeInstanceOf(QueueFullError)
    expect(error).toMatchObject({ maxPending: 2 })
    tasks.push(submit(flow), submit(flow))
    gate.open()
    expect(await Promise.all(tasks)).toHaveLength(4)
    expect(client.stats().tasks).toMatchObject({ admitted: 2, completed: 2, rejected: 1 })
  })

  test('has tasks of its own classes handled, beside clients with others', async () => {
    const address = newAddress()
    await using _ = await started(
      new Flow([new FlowStep(ShapeHandler, { isolation })], { address }),
    )
    await using circles = new FlowClient({ address, task: CircleTask })
    await using squares = new FlowClient({ address, task: SquareTask })
    await using both = new FlowClient<CircleTask | SquareTask>({
      address,
      task: [SquareTask, CircleTask],
    })
    await Promise.all([circles.start(), squares.start(), both.start()])
    expect(await circles.process(new CircleTask(1))).toMatchObject({ area: 3 })
    expect(await squares.process(new SquareTask(2))).toMatchObject({ area: 4 })
    expect(await both.process(new CircleTask(2))).toMatchObject({ area: 12 })
    expect(await both.process(new SquareTask(3))).toMatchObject({ area: 9 })
    const other = circles as unknown as typeof squares
    expect(await rejection(other.process(new SquareTask(1)))).toBeInstanceOf(InvalidTaskError)
  })

  test('asks itself whether a task wants the first steps', async () => {
    const address = newAddress()
    await using _ = await started(
      new Flow(
        [
          new FlowStep(First, { handleCondition: 'wantsFirst', isolation }),
          new FlowStep(Second, { handleCondition: 'wantsSecond', isolation }),
        ],
        { address },
      ),
    )
    await using client = new FlowClient({ address, task: PickyTask })
    await client.start()
    expect((await client.process(new PickyTask(['First', 'Second']))).seen).toEqual([
      'First',
      'Second',
    ])
    expect((await client.process(new PickyTask(['Second']))).seen).toEqual(['Second'])
    const task = await client.process(new PickyTask([]))
    expect(task).toMatchObject({ seen: [], asked: ['caller: First', 'caller: Second'] })
    const error = await rejection(client.process(new PickyTask([], 'First')))
    expect(error).toBeInstanceOf(HandlerError)
  })

  test("streams bodies into the flow's memory", async () => {
    const address = newAddress()
    await using flow = await started(
      new Flow([new FlowStep(PictureHandler, { isolation })], { address }),
    )
    await using client = await attachedTo(address)
    using task = new PictureTask(0, 0)
    const body = Buffer.alloc(100_000, 6)
    await task.shareFrom('picture', Readable.from([body]), { size: body.length, flow: client })
    expect(flow.stats().memory.blocksInUse).toBe(handsOutViews ? 1 : 0)
    expect((await client.process(task)).seen).toEqual([6])
    task.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })
})
