import { type AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import multipart from '@fastify/multipart'
import fastify from 'fastify'
import { expect, test } from 'vitest'
import { Flow, type FlowOptions, FlowStep, NotRunningError } from '../../src/index.ts'
import { DigestHandler, DroppingHandler, MarkingHandler, UploadTask } from '../fixtures/uploads.ts'
import { EchoHandler, ValueTask } from '../fixtures/values.ts'
import { RawClient, WebServer, bytesOf, pieces, sha1 } from '../support/bodies.ts'
import { Gate } from '../support/flow-gate.ts'
import {
  type Isolation,
  Journal,
  describeIsolations,
  handsOutViews,
  rejection,
  started,
  turn,
} from '../support/flow.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const MiB = 2 ** 20
const body = bytesOf(3 * MiB + 17)
const digest = sha1(body)

const flowOf = (
  isolation: Isolation,
  handler: typeof DigestHandler = DigestHandler,
  options: FlowOptions = {},
): Promise<Flow<UploadTask>> =>
  started(new Flow([new FlowStep(handler, { isolation })], { memory: 64 * MiB, ...options }))

const blocksOf = (flow: Flow<UploadTask>): number => flow.stats().memory.blocksInUse

/** A generator that yields all its chunks in one buffer: who keeps a chunk beyond the next one has lost it. */
async function* inOneBuffer(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(MiB)
  for (const chunk of chunks) {
    buffer.fill(0)
    buffer.set(chunk)
    yield buffer.subarray(0, chunk.length)
  }
}

describeIsolations('shareFrom()', (isolation) => {
  test('receives the body of a request into shared memory, where the handler finds it', async () => {
    await using gate = await Gate.close()
    await using flow = await flowOf(isolation)
    await using server = await WebServer.start(() => undefined)
    await using client = await RawClient.connect(server.port)
    const coming = server.request()
    client.post(body.length).write(body)
    const task = new UploadTask()
    task.work = { gate: gate.name }
    await task.shareFrom('body', await coming, { size: body.length })
    expect(task.body).toBeInstanceOf(Uint8Array)
    expect(sha1(task.body!)).toBe(digest)
    expect(blocksOf(flow)).toBe(handsOutViews ? 1 : 0)
    const processing = flow.process(task)
    await gate.visited()
    expect(blocksOf(flow)).toBe(1) // handed over, not copied
    gate.open()
    await processing
    expect(task.digest).toBe(digest)
    expect(sha1(task.body!)).toBe(digest)
    task.release()
    expect(blocksOf(flow)).toBe(0)
    expect(task.body).toHaveLength(handsOutViews ? 0 : body.length)
  })

  test('receives a chunked body, and the field has the length that came', async () => {
    await using flow = await flowOf(isolation)
    await using server = await WebServer.start(() => undefined)
    await using client = await RawClient.connect(server.port)
    const coming = server.request()
    client.postChunked()
    for (const piece of pieces(body, [1, 70_000, 333, 1_000_000])) client.chunk(piece)
    client.write('0\r\n\r\n')
    using task = new UploadTask()
    await task.shareFrom('body', await coming, { maxSize: 32 * MiB })
    expect(task.body).toHaveLength(body.length)
    // No more than a fifth of what it takes lies idle.
    expect(flow.stats().memory.bytesInUse).toBeLessThanOrEqual(body.length * 1.25)
    await flow.process(task)
    expect(task.digest).toBe(digest)
    task.release()
    expect(blocksOf(flow)).toBe(0)
  })

  test('behind Fastify: raw bodies, with and without a length, and files of a form', async () => {
    await using flow = await flowOf(isolation)
    const app = fastify()
    await app.register(multipart)
    app.addContentTypeParser('application/octet-stream', (_request, stream, done) => {
      done(null, stream)
    })
    app.post<{ Body: Readable }>('/raw', async (request) => {
      const length = request.headers['content-length']
      using task = new UploadTask()
      await task.shareFrom('body', request.body, {
        size: length === undefined ? undefined : Number(length),
        maxSize: 8 * MiB,
      })
      await flow.process(task)
      return task.digest
    })
    app.post('/form', async (request) => {
      const digests: unknown[] = []
      for await (const part of request.files({ limits: { fileSize: 8 * MiB } })) {
        using task = new UploadTask()
        await task.shareFrom('body', part.file, { maxSize: 8 * MiB })
        await flow.process(task)
        digests.push(task.digest)
      }
      return digests
    })
    await app.listen({ port: 0 })
    const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
    const raw = async (content: NonNullable<RequestInit['body']>): Promise<string> => {
      const headers = { 'content-type': 'application/octet-stream' }
      const init = { method: 'POST', headers, body: content, duplex: 'half' } as const
      return await (await fetch(`${url}/raw`, init)).text()
    }
    expect(await raw(body)).toBe(digest)
    expect(await raw(ReadableStream.from(pieces(body, [50_000])))).toBe(digest)
    const form = new FormData()
    for (const end of [100, 100_000, body.length])
      form.append('files', new Blob([body.subarray(0, end)]), `${end}.bin`)
    const answer = await fetch(`${url}/form`, { method: 'POST', body: form })
    expect(await answer.json()).toEqual([
      sha1(body.subarray(0, 100)),
      sha1(body.subarray(0, 100_000)),
      digest,
    ])
    await app.close()
    expect(blocksOf(flow)).toBe(0)
  })

  test.each([
    ['the body of a Request', () => new Request('http://x', { method: 'POST', body }).body!],
    ['a byte stream', () => new Blob([body]).stream()],
    ['a web stream', () => ReadableStream.from(pieces(body, [10_000, 7]))],
    ['an async generator', () => inOneBuffer(pieces(body, [100_000, 1, 65_536]))],
    ['a Node stream', () => Readable.from(pieces(body, [100_000, 1, 65_536]))],
  ])('takes %s', async (_, open) => {
    await using flow = await flowOf(isolation)
    for (const size of [{ size: body.length }, { maxSize: body.length }]) {
      using task = new UploadTask()
      await task.shareFrom('body', open(), size)
      await flow.process(task)
      expect(task.digest).toBe(digest)
    }
    expect(blocksOf(flow)).toBe(0)
  })

  test('fills a field of any binary type: `as` says which', async () => {
    await using flow = await flowOf(isolation)
    const samples = Float32Array.from({ length: 100_000 }, (_, index) => index % 251)
    const bytes = new Uint8Array(samples.buffer)
    using task = new UploadTask()
    const stream = (): Readable => Readable.from(pieces(bytes, [33_333]))
    const size = bytes.length
    await Promise.all([
      task.shareFrom('samples', stream(), { maxSize: MiB, as: Float32Array }),
      task.shareFrom('buffer', stream(), { size, as: Buffer }),
      task.shareFrom('raw', stream(), { size, as: ArrayBuffer }),
      task.shareFrom('view', stream(), { size, as: DataView }),
      task.shareFrom('body', stream(), { size, as: Buffer }),
    ])
    for (const isBack of [false, true]) {
      if (isBack) await flow.process(task)
      expect(task.samples).toEqual(samples)
      expect(Buffer.isBuffer(task.buffer) && task.buffer.equals(bytes)).toBe(true)
      expect(Buffer.from(task.raw!).equals(bytes)).toBe(true)
      expect(task.view!.getFloat32(4 * 99_999, true)).toBe(samples[99_999])
    }
    expect(task.sum).toBe(samples.reduce((sum, sample) => sum + sample))
    task.release()
    expect(blocksOf(flow)).toBe(0)
  })

  test('a body below the payload threshold lies in ordinary memory, an empty one nowhere', async () => {
    await using flow = await flowOf(isolation)
    using task = new UploadTask()
    const small = body.subarray(0, 32_767)
    await task.shareFrom('body', Readable.from(pieces(small, [999])), { maxSize: MiB })
    await task.shareFrom('second', Readable.from([]), { size: 0 })
    await task.shareFrom('raw', Readable.from([]), { maxSize: 10, as: ArrayBuffer })
    expect(blocksOf(flow)).toBe(0)
    await flow.process(task)
    expect(task.digest).toBe(sha1(small))
    expect([task.second, task.raw]).toEqual([new Uint8Array(), new ArrayBuffer()])
  })

  test.runIf(handsOutViews)('what a handler writes into it, the caller sees', async () => {
    await using flow = await flowOf(isolation, MarkingHandler)
    using task = new UploadTask()
    await task.shareFrom('body', Readable.from(pieces(body, [65_536])), { size: body.length })
    const before = task.body!
    task.work = { marks: body[0]! ^ 0xff }
    await flow.process(task)
    expect([task.body![0], before[0]]).toEqual([body[0]! ^ 0xff, body[0]! ^ 0xff])
    expect(task.digest).toBe(digest)
  })

  test.runIf(handsOutViews)('two tasks may refer to one body; it outlives the first', async () => {
    await using flow = await flowOf(isolation, DigestHandler, { memory: 6 * MiB })
    const first = new UploadTask()
    const second = new UploadTask()
    await first.shareFrom('body', Readable.from(pieces(body, [65_536])), { size: body.length })
    second.body = first.body
    await Promise.all([flow.process(first), flow.process(second)])
    expect(blocksOf(flow)).toBe(1)
    first.release()
    expect([first.digest, second.digest]).toEqual([digest, digest])
    expect(first.body).toHaveLength(0)
    expect(sha1(second.body!)).toBe(digest)
    second.release()
    expect(blocksOf(flow)).toBe(0)
  })

  test('release() gives it back whatever became of the task', async () => {
    await using flow = await flowOf(isolation, DroppingHandler)
    const received = async (): Promise<UploadTask> => {
      const task = new UploadTask()
      await task.shareFrom('body', Readable.from(pieces(body, [65_536])), { size: body.length })
      return task
    }
    const never = await received()
    never.release()
    never.release() // a second time is harmless
    const dropped = await flow.process(await received())
    dropped.release()
    const refused = await received()
    Object.assign(refused, { text: () => 'a function cannot travel' })
    await rejection(flow.process(refused))
    expect(sha1(refused.body!)).toBe(digest)
    refused.release()
    {
      using cancelled = await received()
      await rejection(flow.process(cancelled, { signal: AbortSignal.abort() }))
    }
    const reassigned = await received()
    reassigned.body = new Uint8Array(1)
    await flow.process(reassigned)
    reassigned.release()
    const taken = await received()
    expect(taken.take('body')).toHaveLength(body.length)
    taken.release()
    expect(sha1(taken.body!)).toBe(digest)
    expect(blocksOf(flow)).toBe(0)
  })

  test.runIf(handsOutViews)(
    'release() also gives back what the collector has taken, and not told yet',
    async () => {
      await using flow = await flowOf(isolation)
      const task = new UploadTask()
      const share = (): Promise<void> =>
        task.shareFrom('body', Readable.from(pieces(body, [65_536])), { size: body.length })
      for (const isSharedAgain of [false, true]) {
        await share()
        const bytes = new WeakRef(task.body!.buffer)
        task.body = undefined
        await turn()
        collectGarbage()
        expect(bytes.deref()).toBeUndefined()
        if (isSharedAgain) await share()
        task.release()
        expect(blocksOf(flow)).toBe(0)
      }
    },
  )

  test('after release() a field can be shared again', async () => {
    await using flow = await flowOf(isolation)
    using task = new UploadTask()
    for (const length of [body.length, 100_000, 10, body.length]) {
      const part = body.subarray(0, length)
      await task.shareFrom('body', Readable.from(pieces(part, [65_536])), { maxSize: 8 * MiB })
      await flow.process(task)
      expect(task.digest).toBe(sha1(part))
      task.release()
      expect(blocksOf(flow)).toBe(0)
    }
  })

  test('a task whose worker dies keeps its body, and can be processed again', async () => {
    const journal = new Journal()
    await using flow = await flowOf(isolation, DigestHandler, { logger: journal })
    const task = new UploadTask()
    await task.shareFrom('body', Readable.from(pieces(body, [65_536])), { size: body.length })
    task.work = { dies: true }
    expect(await rejection(flow.process(task))).toMatchObject({ code: 'AQ_TASK_POISONED' })
    expect(sha1(task.body!)).toBe(digest)
    task.work = {}
    await flow.process(task)
    expect(task.digest).toBe(digest)
    task.release()
    expect(blocksOf(flow)).toBe(0)
  })

  test('a timed-out task gives its body back once its handler has returned', async () => {
    await using gate = await Gate.close()
    await using flow = await flowOf(isolation)
    const task = new UploadTask()
    await task.shareFrom('body', Readable.from(pieces(body, [65_536])), { size: body.length })
    task.work = { gate: gate.name }
    const outcome = rejection(flow.process(task, { timeout: 200 }))
    await gate.visited()
    expect(await outcome).toMatchObject({ code: 'AQ_TIMEOUT' })
    task.release()
    expect(blocksOf(flow)).toBe(1) // the handler still reads it
    gate.open()
    using next = new UploadTask() // its worker is free again, and the one before is collected
    await flow.process(next)
    expect(blocksOf(flow)).toBe(0)
  })

  test('a task may be processed by another flow than the one in whose memory its body lies', async () => {
    await using flow = await flowOf(isolation)
    await using other = await flowOf(isolation)
    using task = new UploadTask()
    const stream = Readable.from(pieces(body, [65_536]))
    await task.shareFrom('body', stream, { size: body.length, flow })
    await other.process(task)
    expect(task.digest).toBe(digest)
    task.release()
    expect([blocksOf(flow), blocksOf(other)]).toEqual([0, 0])
  })

  test('the flow is found by the class of the task; where there are several, it has to be named', async () => {
    const size = body.length
    const stream = (): Readable => Readable.from(pieces(body, [65_536]))
    using task = new UploadTask()
    const flow = new Flow([new FlowStep(DigestHandler, { isolation })], { memory: 64 * MiB })
    expect(await rejection(task.shareFrom('body', stream(), { size }))).toBeInstanceOf(
      NotRunningError,
    )
    const unstarted = rejection(task.shareFrom('body', stream(), { size, flow }))
    expect(await unstarted).toMatchObject({ code: 'AQ_NOT_RUNNING', state: 'created' })
    await flow.start()
    await using others = await started(new Flow([new FlowStep(EchoHandler, { isolation })]))
    const wrong = others as unknown as Flow<UploadTask>
    const misnamed = rejection(task.shareFrom('body', stream(), { size, flow: wrong }))
    expect(await misnamed).toMatchObject({ code: 'AQ_INVALID_TASK' })
    await task.shareFrom('body', stream(), { size })
    task.release()
    const second = await flowOf(isolation)
    const ambiguous = await rejection(task.shareFrom('body', stream(), { size }))
    expect(ambiguous).toMatchObject({ code: 'AQ_INVALID_OPTION', option: 'flow' })
    await task.shareFrom('body', stream(), { size, flow: second })
    expect([blocksOf(flow), blocksOf(second)]).toEqual([0, handsOutViews ? 1 : 0])
    task.release()
    await second.stop()
    await task.shareFrom('body', stream(), { size })
    await flow.process(task)
    expect(task.digest).toBe(digest)
    task.release()
    await flow.stop()
    const stopped = rejection(task.shareFrom('body', stream(), { size }))
    expect(await stopped).toBeInstanceOf(NotRunningError)
    await expect(others.process(new ValueTask(1))).resolves.toBeDefined()
  })

  test('a body that outlives its flow stays readable until it is released', async () => {
    const flow = await flowOf(isolation)
    const idle = new UploadTask()
    const done = new UploadTask()
    for (const task of [idle, done])
      await task.shareFrom('body', Readable.from(pieces(body, [65_536])), { size: body.length })
    await flow.process(done)
    await flow.stop()
    expect([sha1(idle.body!), sha1(done.body!)]).toEqual([digest, digest])
    idle.release()
    expect(sha1(done.body!)).toBe(digest)
    done.release()
    const left = handsOutViews ? 0 : body.length
    expect([idle.body!.length, done.body!.length]).toEqual([left, left])
  })
})
