import { readFileSync } from 'node:fs'
import { PassThrough, Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { type BodySource, Flow, FlowStep } from '../../src/index.ts'
import { DigestHandler, UploadTask } from '../fixtures/uploads.ts'
import { WebServer, bytesOf, pieces, sha1 } from '../support/bodies.ts'
import {
  type Isolation,
  describeIsolations,
  handsOutViews,
  rejection,
  started,
  turn,
} from '../support/flow.ts'
import { Program } from '../support/flow-program.ts'

const MiB = 2 ** 20
const PAGE = 4096
/** Of 1366 pages admission and bodies may take three quarters: four MiB. */
const FOUR_MIB = 1366 * PAGE
const body = bytesOf(MiB)
const digest = sha1(body)

const smallFlow = (isolation: Isolation): Promise<Flow<UploadTask>> =>
  started(new Flow([new FlowStep(DigestHandler, { isolation })], { memory: FOUR_MIB }))

const received = async (options: { size: number } | { maxSize: number }): Promise<UploadTask> => {
  const task = new UploadTask()
  await task.shareFrom('body', Readable.from(pieces(body, [65_536])), options)
  return task
}

async function* iterate(next: () => Uint8Array | undefined): AsyncGenerator<Uint8Array> {
  for (let chunk = next(); chunk !== undefined; chunk = next()) yield chunk
}

/** Resolves with who came first, second and so on. */
async function inOrder(all: Readonly<Record<string, Promise<unknown>>>): Promise<string[]> {
  const order: string[] = []
  await Promise.all(Object.entries(all).map(([name, one]) => one.then(() => order.push(name))))
  return order
}

describeIsolations('shareFrom() where memory is short', (isolation) => {
  test.each(['with a length', 'chunked'])(
    'sixteen bodies at once (%s) through memory for four',
    async (how) => {
      await using flow = await smallFlow(isolation)
      let most = 0
      const limit = handsOutViews ? 4 * MiB : Infinity
      await using server = await WebServer.start((request, response) => {
        void (async () => {
          using task = new UploadTask()
          const length = request.headers['content-length']
          const size = length === undefined ? undefined : Number(length)
          await task.shareFrom('body', request, { size, maxSize: 2 * MiB })
          most = Math.max(most, flow.stats().memory.bytesInUse)
          await flow.process(task)
          response.end(task.digest)
        })()
      })
      const answers = Array.from({ length: 16 }, async () => {
        const content = how === 'chunked' ? ReadableStream.from(pieces(body, [30_000])) : body
        const init = { method: 'POST', body: content, duplex: 'half' } as const
        return await (await fetch(server.url, init)).text()
      })
      expect(await Promise.all(answers)).toEqual(answers.map(() => digest))
      expect(most).toBeLessThanOrEqual(limit)
      expect(flow.stats().memory.blocksInUse).toBe(0)
    },
  )

  test('bodies that grow never all wait for each other', async () => {
    await using flow = await smallFlow(isolation)
    // Each has its part of the memory, and needs more, before any of them is complete.
    const sources = Array.from({ length: 12 }, () => new PassThrough({ highWaterMark: 2 * MiB }))
    const outcomes = sources.map(async (source) => {
      using task = new UploadTask()
      await task.shareFrom('body', source, { maxSize: 2 * MiB })
      await flow.process(task)
      return task.digest
    })
    for (const end of [300_000, 600_000, 900_000, MiB])
      for (const source of sources) source.write(body.subarray(end - 300_000, end))
    for (const source of sources) source.end()
    const expected = [300_000, 600_000, 900_000, MiB].map((end) =>
      body.subarray(end - 300_000, end),
    )
    const whole = sha1(Buffer.concat(expected))
    expect(await Promise.all(outcomes)).toEqual(outcomes.map(() => whole))
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test.runIf(handsOutViews).each<[string, (next: () => Uint8Array | undefined) => BodySource]>([
    [
      'a Node stream',
      (next) =>
        new Readable({
          read() {
            this.push(next() ?? null)
          },
        }),
    ],
    [
      'a web stream',
      (next) =>
        new ReadableStream<Uint8Array>(
          {
            pull: (stream) => {
              const chunk = next()
              if (chunk === undefined) stream.close()
              else stream.enqueue(chunk)
            },
          },
          { highWaterMark: 0 },
        ),
    ],
    ['an iterable', iterate],
  ])('while there is no memory, %s is not read', async (_, open) => {
    await using flow = await smallFlow(isolation)
    const held = await Promise.all([1, 2, 3].map(() => received({ size: MiB })))
    const chunks = [...pieces(Buffer.concat([body, body]), [100_000])]
    let read = 0
    const source = open(() => chunks[read++])
    using task = new UploadTask()
    const sharing = task.shareFrom('body', source, { size: 2 * MiB })
    await turn()
    expect([read, flow.stats().memory.blocksInUse]).toEqual([0, 3])
    for (const one of held) one.release()
    await sharing
    expect(read).toBe(chunks.length + 1)
    expect(sha1(task.body!)).toBe(sha1(Buffer.concat(chunks)))
  })

  test.runIf(handsOutViews)('no memory until the timeout: OutOfMemoryError', async () => {
    await using flow = await smallFlow(isolation)
    using held = await received({ size: MiB })
    const stream = Readable.from(pieces(new Uint8Array(3.5 * MiB), [65_536]))
    const known = new UploadTask().shareFrom('body', stream, { size: 3.5 * MiB, timeout: 50 })
    expect(await rejection(known)).toMatchObject({ code: 'AQ_OUT_OF_MEMORY' })
    const grown = new UploadTask().shareFrom('body', stream, { maxSize: 4 * MiB, timeout: 100 })
    expect(await rejection(grown)).toMatchObject({ code: 'AQ_OUT_OF_MEMORY' })
    expect(flow.stats().memory.blocksInUse).toBe(1)
    held.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test.runIf(handsOutViews)(
    'those that wait get memory in their order, large or small',
    async () => {
      await using flow = await smallFlow(isolation)
      const held = [1, 2, 3, 4].map(() => received({ size: MiB }))
      const [first, second, third, fourth] = await Promise.all(held)
      const large = new UploadTask()
      const parts = [body, body]
      const sharing = large.shareFrom('body', Readable.from(parts), { size: 2 * MiB })
      const order = inOrder({
        large: sharing.then(() => large.release()),
        small: received({ size: MiB }).then((task) => task.release()),
        smaller: received({ maxSize: MiB }).then((task) => task.release()),
      })
      first!.release()
      second!.release()
      expect(await order).toEqual(['large', 'small', 'smaller'])
      third!.release()
      fourth!.release()
      expect(flow.stats().memory.blocksInUse).toBe(0)
    },
  )

  test.runIf(handsOutViews)('tasks with a body pass those that wait for memory', async () => {
    await using flow = await smallFlow(isolation)
    // All that there is lies in bodies; a further task, with a payload of its own, has to wait for one of them.
    const tasks = await Promise.all([1, 2, 3, 4].map(() => received({ size: MiB })))
    const ordinary = Object.assign(new UploadTask(), { body: new Uint8Array(2 * MiB) })
    const waiting = flow.process(ordinary, { timeout: 20_000 })
    await Promise.all(
      tasks.map(async (task) => {
        task.extra = new Uint8Array(64 * 1024) // even with some memory more
        await flow.process(task, { timeout: 20_000 })
        expect(task.digest).toBe(digest)
        task.release()
      }),
    )
    await waiting
    ordinary.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('a program that forgets its bodies gets its memory back, without --expose-gc', async () => {
    await using program = new Program('forgetful-receiver.ts', isolation, '100')
    expect(await program.message()).toMatchObject({ completed: 75, pending: 0 })
    expect(await program.message()).toMatchObject({ blocksInUse: 1, bytesInUse: MiB })
    expect(await program.message()).toMatchObject({ blocksInUse: 0, bytesInUse: 0 })
    expect(await program.ended()).toEqual({ code: 0, signal: null })
    expect(program.errors).toBe('')
  })
})

test.runIf(handsOutViews).each(['with a length', 'chunked'])(
  'the process needs no memory of its own for a body (%s)',
  async (how) => {
    await using program = new Program('receiver.ts')
    const { port } = await program.message<{ port: number }>()
    const send = (length: number, look: () => void): Promise<Response> => {
      async function* chunks(): AsyncGenerator<Uint8Array> {
        for (let sent = 0; sent < length; sent += MiB) {
          look()
          yield body
        }
      }
      const headers = how === 'chunked' ? {} : { 'content-length': String(length) }
      const init = { method: 'POST', headers, body: chunks(), duplex: 'half' }
      return fetch(`http://127.0.0.1:${port}`, init as unknown as RequestInit)
    }
    const own = (): number => {
      const status = readFileSync(`/proc/${program.pid}/status`, 'utf8')
      return Number(/^RssAnon:\s*(\d+)/m.exec(status)![1]) * 1024
    }
    await (await send(16 * MiB, () => undefined)).text() // what is needed once is there
    const before = own()
    let most = 0
    const answer = await send(192 * MiB, () => {
      most = Math.max(most, own())
    })
    expect(await answer.text()).toMatch(/^[0-9a-f]{40}$/)
    expect(most - before).toBeLessThan(96 * MiB) // chunks that the collector has yet to take
  },
)
