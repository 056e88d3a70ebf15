import { once } from 'node:events'
import { type IncomingMessage, get } from 'node:http'
import { type AddressInfo } from 'node:net'
import fastify from 'fastify'
import { describe, expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { MovedTask, MovingHandler } from '../fixtures/moving.ts'
import { ImageTask, NegativeHandler } from '../fixtures/images.ts'
import { EchoHandler, GrowingHandler, ValueTask } from '../fixtures/values.ts'
import { describeIsolations, rejection, started } from '../support/flow.ts'

const MiB = 2 ** 20

describeIsolations('memory that is short, late or still in use', (isolation) => {
  test('a result larger than the memory of the flow fails its task with PayloadTooLargeError', async () => {
    await using flow = await started(
      new Flow([new FlowStep(GrowingHandler, { isolation })], { memory: MiB }),
    )
    const error = await rejection(flow.process(new ValueTask(3 * MiB)))
    expect(error).toMatchObject({ name: 'PayloadTooLargeError', code: 'AQ_PAYLOAD_TOO_LARGE' })
  })

  test('a result for which there is no memory until the deadline fails with OutOfMemoryError', async () => {
    await using flow = await started(
      new Flow([new FlowStep(GrowingHandler, { isolation })], { memory: MiB }),
    )
    const held = await flow.process(new ValueTask(0.7 * MiB))
    const error = await rejection(flow.process(new ValueTask(0.7 * MiB), { timeout: 300 }))
    held.release()
    expect(error).toMatchObject({ code: 'AQ_OUT_OF_MEMORY' })
  })

  test('a task that waits for memory until its deadline fails with OutOfMemoryError', async () => {
    await using flow = await started(
      new Flow([new FlowStep(EchoHandler, { isolation })], { memory: MiB }),
    )
    const held = await flow.process(new ValueTask(new Uint8Array(0.5 * MiB)))
    const error = await rejection(
      flow.process(new ValueTask(new Uint8Array(0.5 * MiB)), { timeout: 300 }),
    )
    held.release()
    expect(error).toMatchObject({ code: 'AQ_OUT_OF_MEMORY' })
  })

  test('a response that is still on its way when its task is released carries no other data', async () => {
    await using flow = await started(
      new Flow([new FlowStep(NegativeHandler, { isolation })], { memory: 64 * MiB }),
    )
    const app = fastify()
    app.get('/', async (_, reply) => {
      const task = await flow.process(new ImageTask(1, 16 * MiB))
      void reply.send(Buffer.from(task.image.buffer)) // more than the sockets take at once
      task.release()
      return await reply
    })
    await app.listen({ port: 0 })
    const { port } = app.server.address() as AddressInfo
    const [response] = (await once(get({ port, path: '/' }), 'response')) as [IncomingMessage]
    // While the reader is slow, the memory goes to others.
    for (let id = 2; id < 6; id++) {
      using task = await flow.process(new ImageTask(id, 16 * MiB))
      expect(task.problem).toBeUndefined()
    }
    const bytes = new Set<number>()
    try {
      for await (const chunk of response) for (const byte of chunk as Uint8Array) bytes.add(byte)
    } catch {
      // cut off: nothing more was sent
    }
    await app.close()
    expect([...bytes]).toEqual([1])
  })
})

describe('a payload that a handler moves into a buffer of its own, in a thread', () => {
  test.each(['move', 'move and throw'] as const)(
    'is never the memory of another task (%s)',
    async (deed) => {
      const step = new FlowStep(MovingHandler, { isolation: 'thread', batchSize: 4 })
      await using flow = await started(new Flow([step], { memory: 1 << 23 }))
      for (let round = 1; round <= 3; round++) {
        await Promise.allSettled([1, 2, 3, 4].map(() => flow.process(new MovedTask(deed, round))))
        using looking = await flow.process(new MovedTask('look', 77))
        expect(looking.found).not.toContain(77)
        expect(looking.found).not.toContain(round + 1)
      }
    },
  )
})
