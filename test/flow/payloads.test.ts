import { type AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import fastify from 'fastify'
import { expect, test } from 'vitest'
import { Flow, type FlowOptions, FlowStep } from '../../src/index.ts'
import {
  CountingHandler,
  ImageTask,
  KeepingHandler,
  NegativeHandler,
  ReferenceHandler,
  ReplacingHandler,
} from '../fixtures/images.ts'
import {
  type Isolation,
  describeIsolations,
  started,
  turn,
  handsOutViews,
  rejection,
} from '../support/flow.ts'

const MiB = 2 ** 20

const flowOf = (
  isolation: Isolation,
  handler: typeof NegativeHandler,
  options: FlowOptions = {},
): Promise<Flow<ImageTask>> =>
  started(new Flow([new FlowStep(handler, { isolation, nprocs: 2, batchSize: 4 })], options))

/** Whether all bytes are `byte`: compared at once, a loop over megabytes would take the test's time. */
const isFilledWith = (bytes: Uint8Array, byte: number): boolean =>
  Buffer.alloc(bytes.length, byte).equals(bytes)

describeIsolations('no reader sees the memory of another', (isolation) => {
  test.runIf(handsOutViews)(
    'release() empties every view of a payload, whoever holds it',
    async () => {
      await using flow = await flowOf(isolation, NegativeHandler)
      const task = await flow.process(new ImageTask(1, MiB))
      const { image, negative } = task
      const aliases = [
        image,
        negative!,
        image.subarray(100),
        Buffer.from(image.buffer),
        Buffer.from(image.buffer, 10, 10),
        new Float32Array(image.buffer, 0, 8),
        new DataView(negative!.buffer),
      ]
      for (const { byteLength } of aliases) expect(byteLength).toBeGreaterThan(0)
      task.release()
      const views = aliases.filter((alias) => alias instanceof Uint8Array)
      for (const view of views) expect([view.length, view[0]]).toEqual([0, undefined])
      expect(image.buffer.byteLength).toBe(0)
      expect((aliases[5] as Float32Array).length).toBe(0)
      expect(() => (aliases[6] as DataView).getUint8(0)).toThrow(TypeError)
      expect(flow.stats().memory.blocksInUse).toBe(0)
      task.release() // a second time is harmless
    },
  )

  test.runIf(handsOutViews)(
    'nobody can move a payload away: it is guarded, and can be copied',
    async () => {
      await using flow = await flowOf(isolation, NegativeHandler)
      const task = await flow.process(new ImageTask(1, MiB))
      const buffer = task.image.buffer as ArrayBuffer
      expect(() => buffer.transfer()).toThrow(TypeError)
      expect(() => structuredClone(buffer, { transfer: [buffer] })).toThrow(TypeError)
      const source = new ReadableStream({
        type: 'bytes',
        pull: (controller) => controller.enqueue(new Uint8Array(1)),
      })
      const reading = source.getReader({ mode: 'byob' }).read(new Uint8Array(buffer))
      await expect(reading).rejects.toThrow(TypeError)
      expect(task.image).toHaveLength(MiB)
      const copy = structuredClone(task.image)
      task.release()
      expect(isFilledWith(copy, 1)).toBe(true)
      expect(task.image).toHaveLength(0)
    },
  )

  test.runIf(handsOutViews)('`using` releases at the end of the scope', async () => {
    await using flow = await flowOf(isolation, NegativeHandler)
    let alias: Uint8Array
    {
      using task = await flow.process(new ImageTask(1, MiB))
      alias = task.negative!
      expect(alias).toHaveLength(MiB)
    }
    expect(alias).toHaveLength(0)
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test.runIf(handsOutViews)('take() keeps a copy that outlives the release', async () => {
    await using flow = await flowOf(isolation, NegativeHandler)
    const task = await flow.process(new ImageTask(1, MiB))
    const taken = task.take('negative')!
    expect(task.negative).toBe(taken)
    task.release()
    expect(task.image).toHaveLength(0)
    expect(taken).toHaveLength(MiB)
    expect(isFilledWith(taken, 254)).toBe(true)
    expect(() => task.take('reference')).toThrow(TypeError)
  })

  test('the input of the caller stays its own: neither emptied nor changed', async () => {
    await using flow = await flowOf(isolation, NegativeHandler)
    const task = new ImageTask(1, MiB)
    const input = task.image
    await flow.process(task)
    task.release()
    expect(isFilledWith(input, 1)).toBe(true)
  })

  test('what a handler keeps beyond handle() is empty', async () => {
    await using flow = await started(new Flow([new FlowStep(KeepingHandler, { isolation })]))
    for (let id = 0; id < 10; id++) {
      using task = await flow.process(new ImageTask(id, MiB))
      expect(task.problem).toBeUndefined()
    }
  })

  test.runIf(handsOutViews)(
    'a result that becomes a field of a second task travels by reference, and outlives the first',
    async () => {
      // Two copies of it would not fit.
      await using flow = await started(
        new Flow([new FlowStep(ReferenceHandler, { isolation })], { memory: 6 * MiB }),
      )
      const first = await flow.process(new ImageTask(7, 3 * MiB, new Uint8Array(1)))
      const blocks = flow.stats().memory.blocksInUse
      const processing = flow.process(new ImageTask(8, 1, first.image))
      expect(flow.stats().memory.blocksInUse).toBe(blocks)
      first.release()
      const second = await processing
      expect(isFilledWith(second.negative!, 7)).toBe(true)
      expect(isFilledWith(second.reference!, 7)).toBe(true)
      expect(second.negative).toHaveLength(3 * MiB)
      second.release()
      expect(second.negative).toHaveLength(0)
      expect(flow.stats().memory.blocksInUse).toBe(0)
    },
  )

  test('a handler that gives a payload field another value: everybody after it gets that, and the old one is given back', async () => {
    await using flow = await started(
      new Flow([
        new FlowStep(ReplacingHandler, { isolation }),
        new FlowStep(NegativeHandler, { isolation }),
      ]),
    )
    const task = new ImageTask(5, MiB)
    const input = task.image.fill(9)
    await flow.process(task)
    expect(task.problem).toBeUndefined() // the second step has looked at every byte
    expect(isFilledWith(task.image, 5)).toBe(true)
    expect(isFilledWith(task.negative!, ~5)).toBe(true)
    expect(isFilledWith(input, 9)).toBe(true)
    expect(flow.stats().memory.blocksInUse).toBe(handsOutViews ? 2 : 0)
    task.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('a caller who gives a payload field another value has that one processed the next time', async () => {
    await using flow = await flowOf(isolation, NegativeHandler)
    const task = await flow.process(new ImageTask(5, MiB))
    task.release()
    if (handsOutViews) await rejection(flow.process(task)) // what was released cannot be sent
    task.image = new Uint8Array(2 * MiB).fill(5)
    delete task.negative
    await flow.process(task)
    expect(task.problem).toBeUndefined()
    expect(task.negative).toHaveLength(2 * MiB)
    task.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('many tasks may refer to one payload at once, and write into it, and go in any order', async () => {
    await using flow = await started(
      new Flow([new FlowStep(CountingHandler, { isolation, nprocs: 2, batchSize: 4 })]),
    )
    const first = await flow.process(new ImageTask(0, 1, new Uint8Array(MiB).fill(1)))
    const shared = first.reference!
    const tasks = Array.from({ length: 40 }, (_, index) => new ImageTask(index + 1, 1, shared))
    const processing = tasks.map((task) => flow.process(task))
    expect(flow.stats().memory.blocksInUse).toBe(handsOutViews ? 1 : 40) // copies, where views are not guarded
    await Promise.all(processing)
    for (const { id, reference } of tasks) expect(reference![id]).toBe(2)
    const expected = new Uint8Array(MiB).fill(1).fill(2, 0, handsOutViews ? 41 : 1)
    expect(Buffer.from(expected).equals(shared)).toBe(true)
    for (const task of [tasks[20]!, first, ...tasks.toSpliced(20, 1)]) {
      expect(task.reference![0]).toBe(2)
      task.release()
    }
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('a part of a result travels as that part', async () => {
    await using flow = await started(new Flow([new FlowStep(ReferenceHandler, { isolation })]))
    const first = await flow.process(new ImageTask(7, MiB, new Uint8Array(1)))
    first.image[300_000] = 99
    using second = await flow.process(new ImageTask(8, 1, first.image.subarray(300_000, 400_000)))
    expect(second.negative).toHaveLength(100_000)
    expect(second.negative!.slice(0, 2)).toEqual(new Uint8Array([99, 7]))
    first.release()
    expect(second.negative![0]).toBe(99)
  })

  test('many tasks interleaved, in little memory: every byte is that of its own task', async () => {
    await using flow = await flowOf(isolation, NegativeHandler, { memory: 16 * MiB })
    const held: ImageTask[] = []
    const run = async (id: number): Promise<void> => {
      const bytes = 40_000 + ((id * 7_919) % 400_000)
      const task = await flow.process(new ImageTask(id, bytes), { timeout: 25_000 })
      expect(task.problem).toBeUndefined()
      held.push(task)
    }
    for (let id = 0; id < 400; id += 8) {
      await Promise.all(Array.from({ length: 8 }, (_, offset) => run(id + offset)))
      for (const task of held.splice(0, held.length - 5)) {
        expect(isFilledWith(task.image, task.id)).toBe(true)
        expect(isFilledWith(task.negative!, ~task.id)).toBe(true)
        task.release()
      }
    }
    for (const task of held) task.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('a Fastify route that returns a view after the release never sends the data of another task', async () => {
    await using flow = await flowOf(isolation, NegativeHandler, { memory: 64 * MiB })
    const app = fastify()
    app.get<{ Params: { id: string; how: string } }>('/:how/:id', async (request, reply) => {
      const { how, id } = request.params
      using task = await flow.process(new ImageTask(Number(id), MiB))
      const alias = Buffer.from(task.image.buffer)
      if (how === 'late') setImmediate(() => void reply.send(alias))
      else if (how === 'returned') return alias
      else if (how === 'streamed') return Readable.from([alias])
      else return task.take('image')
      return await reply
    })
    await app.listen({ port: 0 })
    const { port } = app.server.address() as AddressInfo
    const get = async (how: string, id: number): Promise<Uint8Array> => {
      try {
        return await (await fetch(`http://127.0.0.1:${port}/${how}/${id}`)).bytes()
      } catch {
        return new Uint8Array() // the connection was cut: nothing was sent
      }
    }
    const ways = ['returned', 'streamed', 'late', 'taken']
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, id) => {
        const how = ways[id % ways.length]!
        await turn()
        return { how, id, bytes: await get(how, id + 1) }
      }),
    )
    await app.close()
    for (const { how, id, bytes } of answers) {
      // Whatever came, came from this task: its own bytes, or the text of an error.
      const text = Buffer.from(bytes.subarray(0, 200)).toString()
      expect(isFilledWith(bytes, id + 1) || text.includes('statusCode'), `${how} ${id}`).toBe(true)
    }
    const taken = answers.filter(({ how }) => how === 'taken')
    for (const { bytes } of taken) expect(bytes).toHaveLength(MiB)
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })
})
