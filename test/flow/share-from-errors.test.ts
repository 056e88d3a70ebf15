import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import multipart from '@fastify/multipart'
import fastify from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  AqueductError,
  BodyError,
  Flow,
  FlowStep,
  type PayloadTooLargeError,
} from '../../src/index.ts'
import { DigestHandler, FragileHandler, UploadTask } from '../fixtures/uploads.ts'
import { RawClient, WebServer, bytesOf, pieces, sha1 } from '../support/bodies.ts'
import { Gate } from '../support/flow-gate.ts'
import { Journal, describeIsolations, handsOutViews, rejection, started } from '../support/flow.ts'

const never = (): Promise<never> => new Promise(() => undefined)

type TooLarge = Pick<PayloadTooLargeError, 'code' | 'maxBytes'>

const MiB = 2 ** 20
const body = bytesOf(MiB)

describe('what can go wrong with a body', () => {
  let flow: Flow<UploadTask>
  let server: WebServer
  let client: RawClient
  let task: UploadTask

  beforeAll(async () => {
    const step = new FlowStep(DigestHandler, { isolation: 'thread' })
    flow = await started(new Flow([step], { memory: 16 * MiB }))
    server = await WebServer.start(() => undefined)
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await flow.stop()
  })

  // Whatever happened: nothing is left in shared memory, and the task is as good as new.
  afterEach(async () => {
    await client?.[Symbol.asyncDispose]()
    await expectAsNew(flow, task)
  })

  /** The request that a client begins to send. */
  async function requestOf(send: (client: RawClient) => void): Promise<IncomingMessage> {
    task = new UploadTask()
    client = await RawClient.connect(server.port)
    const coming = server.request()
    send(client)
    return await coming
  }

  const refusal = (
    source: Parameters<UploadTask['shareFrom']>[1],
    options: { size: number; maxSize?: number } | { maxSize: number },
  ): Promise<unknown> => {
    task = new UploadTask()
    return rejection(task.shareFrom('body', source, options))
  }

  test.each([
    ['closes the connection', (at: RawClient) => void at.socket.end()],
    ['resets it', (at: RawClient) => at.reset()],
  ])('a sender that %s before its Content-Length: AQ_BODY_ABORTED', async (_, go) => {
    const request = await requestOf((at) => at.post(MiB).write(body.subarray(0, 100_000)))
    const outcome = rejection(task.shareFrom('body', request, { size: MiB }))
    await until(request, 100_000)
    go(client)
    const error = (await outcome) as BodyError
    expect(error).toBeInstanceOf(BodyError)
    expect(error).toMatchObject({ code: 'AQ_BODY_ABORTED', bytesReceived: 100_000, size: MiB })
    expect(error.cause).toMatchObject({ code: 'ECONNRESET' })
    expect(error.message).toBe('the body was cut off after 100000 of 1048576 bytes')
  })

  test('a chunked body that breaks off: AQ_BODY_ABORTED', async () => {
    const request = await requestOf((at) => at.postChunked().chunk(body.subarray(0, 50_000)))
    const outcome = rejection(task.shareFrom('body', request, { maxSize: 2 * MiB }))
    await until(request, 50_000)
    client.write('5\r\nabc')
    client.socket.end()
    const error = await outcome
    expect(error).toMatchObject({ code: 'AQ_BODY_ABORTED', bytesReceived: 50_003, size: undefined })
  })

  test('a body that is not chunked as it said: AQ_BODY_ABORTED', async () => {
    const request = await requestOf((at) => at.postChunked().chunk(body.subarray(0, 50_000)))
    const outcome = rejection(task.shareFrom('body', request, { maxSize: 2 * MiB }))
    client.write('this is no length\r\n')
    expect(await outcome).toMatchObject({ code: 'AQ_BODY_ABORTED' })
  })

  test('a body that ends before its size: AQ_BODY_SHORT', async () => {
    const request = await requestOf((at) => at.postChunked().chunk(body).write('0\r\n\r\n'))
    const error = await rejection(task.shareFrom('body', request, { size: MiB + 1 }))
    expect(error).toMatchObject({ code: 'AQ_BODY_SHORT', bytesReceived: MiB, size: MiB + 1 })
    expect((error as Error).message).toBe('the body ended after 1048576 of 1048577 bytes')
  })

  test('a body that goes on after its size: AQ_BODY_LONG', async () => {
    const request = await requestOf((at) => at.postChunked().chunk(body).write('0\r\n\r\n'))
    const error = await rejection(task.shareFrom('body', request, { size: MiB - 1 }))
    expect(error).toMatchObject({ code: 'AQ_BODY_LONG', bytesReceived: MiB, size: MiB - 1 })
  })

  test('a sender that stops sending: TaskTimeoutError', async () => {
    const request = await requestOf((at) => at.post(MiB).write(body.subarray(0, 1_000)))
    const error = await rejection(task.shareFrom('body', request, { size: MiB, timeout: 100 }))
    expect(error).toMatchObject({ code: 'AQ_TIMEOUT', timeout: 100 })
    expect((error as Error).message).toContain('1000 bytes had come')
  })

  test('a signal: TaskCancelledError with its reason', async () => {
    const request = await requestOf((at) => at.post(MiB).write(body.subarray(0, 100_000)))
    const hangUp = new AbortController()
    const { signal } = hangUp
    const outcome = rejection(task.shareFrom('body', request, { size: MiB, signal }))
    await until(request, 100_000)
    hangUp.abort('gone')
    expect(await outcome).toMatchObject({ code: 'AQ_CANCELLED', cause: 'gone' })
    const late = rejection(task.shareFrom('body', request, { size: MiB, signal }))
    expect(await late).toMatchObject({ code: 'AQ_CANCELLED', cause: 'gone' })
    expect(request.readableFlowing).toBe(false)
  })

  test('a body above maxSize: PayloadTooLargeError, where it passes it', async () => {
    const request = await requestOf((at) => at.postChunked().chunk(body))
    const error = await rejection(task.shareFrom('body', request, { maxSize: 500_000 }))
    expect(error).toMatchObject({ code: 'AQ_PAYLOAD_TOO_LARGE', maxBytes: 500_000 })
    const { bytes, message } = error as { bytes: number; message: string }
    expect(bytes).toBeGreaterThan(500_000)
    expect(bytes).toBeLessThanOrEqual(MiB)
    expect(message).toContain('`maxSize`')
  })

  test.each([
    ['above maxSize', { size: 2 * MiB, maxSize: MiB }, MiB],
    ['above all the memory there is', { size: 13 * MiB }, 12 * MiB],
    ['above all memory on earth', { size: 2e19 }, 12 * MiB],
  ])(
    'a size %s: PayloadTooLargeError at once, and the body is not touched',
    async (_, size, max) => {
      const request = await requestOf((at) => at.post(2 * MiB))
      const error = await rejection(task.shareFrom('body', request, size))
      expect(error).toMatchObject({ code: 'AQ_PAYLOAD_TOO_LARGE', bytes: size.size, maxBytes: max })
      expect([request.readableDidRead, request.readableFlowing]).toEqual([false, null])
      expect(request.listenerCount('error')).toBe(0)
    },
  )

  test('a body that outgrows all memory: PayloadTooLargeError', async () => {
    const parts = Array.from({ length: 13 }, () => body)
    const error = await refusal(Readable.from(parts), { maxSize: Number.MAX_SAFE_INTEGER })
    expect(error).toMatchObject({ bytes: 13 * MiB, maxBytes: 12 * MiB })
    expect((error as Error).message).toContain("raise the flow's `memory`")
  })

  test('a file of a form that the parser has cut: PayloadTooLargeError', async () => {
    const app = fastify()
    await app.register(multipart, { throwFileSizeLimit: false })
    app.post('/', async (request) => {
      const part = await request.file({ limits: { fileSize: 300_000 } })
      const { code, maxBytes } = (await refusal(part!.file, { maxSize: 2 * MiB })) as TooLarge
      return { code, maxBytes }
    })
    await app.listen({ port: 0 })
    const { port } = app.server.address() as AddressInfo
    const form = new FormData()
    form.append('file', new Blob([body]), 'body.bin')
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: form })
    expect(await answer.json()).toMatchObject({ code: 'AQ_PAYLOAD_TOO_LARGE', maxBytes: 300_000 })
    await app.close()
  })

  test('a form that breaks off: AQ_BODY_ABORTED', async () => {
    const app = fastify()
    const refused = new EventEmitter<{ refused: [unknown]; part: [] }>()
    await app.register(multipart)
    app.post('/', async (request) => {
      const part = await request.file({ limits: { fileSize: 2 * MiB } })
      const outcome = refusal(part!.file, { maxSize: 2 * MiB })
      part!.file.once('data', () => refused.emit('part'))
      refused.emit('refused', await outcome)
    })
    await app.listen({ port: 0 })
    const { port } = app.server.address() as AddressInfo
    const sender = await RawClient.connect(port)
    const outcome = once(refused, 'refused')
    sender.write(
      'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\ncontent-type: multipart/form-data; boundary=b\r\n\r\n',
    )
    const arrived = once(refused, 'part')
    sender.write(
      '--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\ncontent-type: application/octet-stream\r\n\r\n',
    )
    sender.write(body.subarray(0, 100_000))
    await arrived
    sender.reset()
    expect(await outcome).toMatchObject([{ code: 'AQ_BODY_ABORTED' }])
    await app.close()
  })

  test.each([
    ['strings', () => Readable.from([body]).setEncoding('latin1'), 'strings'],
    ['objects', () => Readable.from([{ length: 5 }]), 'no Uint8Array'],
    ['other views', () => Readable.from([new Uint16Array(5)]), 'no Uint8Array'],
    ['text', () => new Blob(['x']).stream().pipeThrough(new TextDecoderStream()), 'strings'],
  ])('a stream of %s: AQ_BODY_NOT_BINARY', async (_, open, word) => {
    const error = await refusal(open() as Readable, { maxSize: 2 * MiB })
    expect(error).toMatchObject({ code: 'AQ_BODY_NOT_BINARY', bytesReceived: 0 })
    expect((error as Error).message).toContain(word)
  })

  test('a body that ends within an element: AQ_BODY_SHORT, at once where the size tells', async () => {
    task = new UploadTask()
    const source = Readable.from(pieces(body.subarray(0, 100_001), [1000]))
    const unknown = task.shareFrom('samples', source, { maxSize: MiB, as: Float32Array })
    expect(await rejection(unknown)).toMatchObject({
      code: 'AQ_BODY_SHORT',
      bytesReceived: 100_001,
    })
    const known = task.shareFrom('samples', Readable.from([body]), { size: 5, as: Float32Array })
    expect(await rejection(known)).toMatchObject({
      code: 'AQ_BODY_SHORT',
      size: 5,
      bytesReceived: 0,
    })
  })

  test('a stream that fails: AQ_BODY_ABORTED with its error as the cause', async () => {
    const cause = new Error('broken')
    const errors: unknown[] = []
    const node = new PassThrough()
    const outcome = refusal(node, { size: MiB })
    const begun = once(node, 'data')
    node.write(body.subarray(0, 1_000))
    await begun
    node.destroy(cause)
    errors.push(await outcome)
    errors.push(await refusal(node, { size: MiB })) // it is broken already
    const web = new ReadableStream<Uint8Array>({ pull: (at) => at.error(cause) })
    errors.push(await refusal(web, { size: MiB }))
    async function* iterable(): AsyncGenerator<Uint8Array> {
      yield body.subarray(0, 1_000)
      throw cause
    }
    errors.push(await refusal(iterable(), { size: MiB }))
    for (const error of errors) expect(error).toMatchObject({ code: 'AQ_BODY_ABORTED', cause })
    const closed = new PassThrough()
    const closing = refusal(closed, { size: MiB })
    closed.destroy()
    const error = await closing
    expect(error).toMatchObject({ code: 'AQ_BODY_ABORTED', bytesReceived: 0 })
    expect(error).not.toHaveProperty('cause')
  })

  test('a stream that somebody else reads, or has read: InvalidOptionError', async () => {
    const read = Readable.from([body])
    for await (const chunk of read) expect(chunk).toBe(body)
    const locked = new Blob([body]).stream()
    locked.getReader()
    const used = new Request('http://x', { method: 'POST', body })
    await used.bytes()
    for (const source of [read, locked, used.body!, null, body, 'text']) {
      const error = await refusal(source as Readable, { maxSize: 2 * MiB })
      expect(error).toMatchObject({ code: 'AQ_INVALID_OPTION', option: 'source' })
    }
  })

  test('a request whose body a parser of the framework has read: InvalidOptionError', async () => {
    const app = fastify()
    app.setErrorHandler((error: AqueductError, _request, reply) => reply.send({ code: error.code }))
    app.post('/', async (request) => {
      task = new UploadTask()
      await task.shareFrom('body', request.raw, { maxSize: MiB })
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    try {
      const { port } = app.server.address() as AddressInfo
      const response = await fetch(`http://127.0.0.1:${port}/`, {
        method: 'POST',
        body: '{"a":1}',
        headers: { 'content-type': 'application/json' },
      })
      expect(await response.json()).toEqual({ code: 'AQ_INVALID_OPTION' })
    } finally {
      await app.close()
    }
  })

  test.each([
    [{}, 'size'],
    [{ size: undefined }, 'size'],
    [{ size: -1 }, 'size'],
    [{ size: Number.NaN }, 'size'],
    [{ maxSize: 1.5 }, 'maxSize'],
    [{ maxsize: 5 }, 'maxsize'],
    [{ size: 1, as: Array }, 'as'],
    [{ size: 1, as: class extends Uint8Array {} }, 'as'],
    [{ size: 1, timeout: -1 }, 'timeout'],
    [{ size: 1, signal: {} }, 'signal'],
    [{ size: 1, flow: 'mine' }, 'flow'],
  ])('options %j: InvalidOptionError', async (options, option) => {
    const error = await refusal(Readable.from([body]), options as { size: number })
    expect(error).toMatchObject({ code: 'AQ_INVALID_OPTION', option })
  })

  test('a field that is none, or cannot be one: InvalidTaskError', async () => {
    task = new UploadTask()
    Object.defineProperty(task, 'fixed', { value: new Uint8Array(1) })
    for (const name of ['bdoy', 'release', 'timings', 'text', 'work', 'fixed']) {
      const field = name as 'body'
      const error = await rejection(task.shareFrom(field, Readable.from([body]), { size: MiB }))
      expect(error).toMatchObject({ name: 'InvalidTaskError', code: 'AQ_INVALID_TASK' })
      expect((error as Error).message).toContain(`UploadTask.${field}`)
    }
    const frozen = new UploadTask()
    const outcome = rejection(frozen.shareFrom('body', Readable.from([body]), { size: MiB }))
    Object.freeze(frozen) // while the body arrives
    expect(await outcome).toBeInstanceOf(TypeError)
  })

  test('a field that is shared already, or is just being: AQ_FIELD_SHARED', async () => {
    task = new UploadTask()
    const share = (): Promise<void> => task.shareFrom('body', Readable.from([body]), { size: MiB })
    const first = share()
    expect(await rejection(share())).toMatchObject({ code: 'AQ_FIELD_SHARED' })
    await first
    expect(await rejection(share())).toMatchObject({ code: 'AQ_FIELD_SHARED' })
    await flow.process(task)
    const [again] = await Promise.allSettled([share()])
    // Where callers get copies, what comes back is a buffer of the task's own.
    expect(again.status).toBe(handsOutViews ? 'rejected' : 'fulfilled')
    task.body = undefined
    await share() // it was reassigned
    task.release()
    task.body = undefined
  })

  test('a task that is being processed, or whose body is still arriving: AQ_TASK_IN_FLIGHT', async () => {
    await using gate = await Gate.close()
    task = new UploadTask()
    task.work = { gate: gate.name }
    const processing = flow.process(task)
    await gate.visited()
    const error = await rejection(task.shareFrom('body', Readable.from([body]), { size: MiB }))
    expect(error).toMatchObject({ code: 'AQ_TASK_IN_FLIGHT' })
    gate.open()
    await processing
    const source = new PassThrough()
    const arriving = task.shareFrom('body', source, { size: 5 })
    expect(await rejection(flow.process(task))).toMatchObject({ code: 'AQ_TASK_IN_FLIGHT' })
    source.end('hello')
    await arriving
    await flow.process(task)
    task.body = undefined
    task.work = {}
  })

  test('release() gives up what is still arriving', async () => {
    const request = await requestOf((at) => at.post(MiB).write(body.subarray(0, 100_000)))
    const outcome = rejection(task.shareFrom('body', request, { size: MiB }))
    await until(request, 100_000)
    task.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
    expect(await outcome).toMatchObject({ code: 'AQ_CANCELLED' })
  })

  test('one of two bodies fails: the other arrives', async () => {
    task = new UploadTask()
    const [failed, arrived] = await Promise.allSettled([
      task.shareFrom('body', Readable.from([body]), { size: 5 }),
      task.shareFrom('second', Readable.from([body]), { size: MiB }),
    ])
    expect(failed).toMatchObject({ reason: { code: 'AQ_BODY_LONG' } })
    expect(arrived.status).toBe('fulfilled')
    expect(sha1(task.second!)).toBe(sha1(body))
    task.release()
    task.second = undefined
  })

  test('after a refusal the request stands where it was: it can be answered, and the rest be read', async () => {
    for (const [size, status] of [
      [{ size: 10 }, 400],
      [{ maxSize: 10 }, 413],
    ] as const) {
      const answered = await WebServer.start((request, response) => {
        void (async () => {
          const error = await refusal(request, size)
          const isLarge = AqueductError.is(error, 'AQ_PAYLOAD_TOO_LARGE')
          response.statusCode = isLarge ? 413 : 400
          request.resume()
          await once(request, 'end')
          response.end()
        })()
      })
      const sender = await RawClient.connect(answered.port)
      sender.post(MiB).write(body)
      expect(await sender.status()).toBe(status)
      expect(sender.socket.readyState).toBe('open')
      await sender[Symbol.asyncDispose]()
      await answered[Symbol.asyncDispose]()
    }
  })

  test('after a refusal a web stream is free again, and an iterable goes on where it was', async () => {
    const web = ReadableStream.from(pieces(body, [100_000]))
    expect(await refusal(web, { size: 150_000 })).toMatchObject({ code: 'AQ_BODY_LONG' })
    const rest: Uint8Array[] = []
    for await (const chunk of web) rest.push(chunk)
    expect(Buffer.concat(rest).equals(body.subarray(200_000))).toBe(true)
    let returned = false
    async function* generate(): AsyncGenerator<Uint8Array> {
      try {
        yield* pieces(body, [100_000])
      } finally {
        returned = true
      }
    }
    const iterable = generate()
    expect(await refusal(iterable, { size: 150_000 })).toMatchObject({ code: 'AQ_BODY_LONG' })
    expect(returned).toBe(false)
    expect(await iterable.next()).toEqual({ done: false, value: body.subarray(200_000, 300_000) })
  })

  test('a stream that is given up while it is asked for a chunk is let go at once', async () => {
    const silent = new ReadableStream<Uint8Array>()
    expect(await refusalWithin(silent)).toMatchObject({ code: 'AQ_TIMEOUT' })
    expect(silent.locked).toBe(false)
    const node = new PassThrough()
    expect(await refusalWithin(node)).toMatchObject({ code: 'AQ_TIMEOUT' })
    expect(node.listenerCount('data') + node.listenerCount('end')).toBe(0)
    expect(await refusalWithin({ [Symbol.asyncIterator]: () => ({ next: never }) })).toMatchObject({
      code: 'AQ_TIMEOUT',
    })
  })

  const refusalWithin = (source: Parameters<UploadTask['shareFrom']>[1]): Promise<unknown> => {
    task = new UploadTask()
    return rejection(task.shareFrom('body', source, { maxSize: MiB, timeout: 20 }))
  }

  test('a stream that fails once more after its refusal ends nothing', async () => {
    const source = new PassThrough()
    const outcome = refusal(source, { size: 3 })
    source.write('too long')
    expect(await outcome).toMatchObject({ code: 'AQ_BODY_LONG' })
    const closed = new Promise((resolve) => source.once('close', resolve))
    source.destroy(new Error('late'))
    await closed
  })
})

/** Nothing is left in shared memory, and the task can be given a body. */
async function expectAsNew(flow: Flow<UploadTask>, task: UploadTask): Promise<void> {
  expect(flow.stats().memory.blocksInUse).toBe(0)
  expect(task.body).toBeUndefined()
  await task.shareFrom('body', Readable.from([body]), { size: MiB })
  await flow.process(task)
  expect(task.digest).toBe(sha1(body))
  task.release()
  expect(flow.stats().memory.blocksInUse).toBe(0)
}

/** Waits until so many bytes of a request have been read. */
async function until(request: IncomingMessage, bytes: number): Promise<void> {
  for (let read = 0; read < bytes;) {
    const [chunk] = (await once(request, 'data')) as [Uint8Array]
    read += chunk.length
  }
}

const arriving = (flow: Flow<UploadTask>, task: UploadTask, held: PassThrough): Promise<unknown> =>
  rejection(task.shareFrom('body', held, { size: MiB, flow }))

describeIsolations('a flow that ends while bodies arrive', (isolation) => {
  test.each([true, false])('stop({ graceful: %s }): FlowStoppedError', async (graceful) => {
    const options = { memory: 2 * MiB } // for one of them: the other waits
    const flow = await started(new Flow([new FlowStep(DigestHandler, { isolation })], options))
    const sources = [new PassThrough(), new PassThrough()]
    const tasks = sources.map(() => new UploadTask())
    const outcomes = sources.map((source, index) => arriving(flow, tasks[index]!, source))
    const begun = once(sources[0]!, 'data')
    sources[0]!.write(body.subarray(0, 500_000))
    await begun
    const stopping = flow.stop({ graceful })
    for (const outcome of outcomes) expect(await outcome).toMatchObject({ code: 'AQ_STOPPED' })
    await stopping
    for (const source of sources) source.end(body) // nobody writes it anywhere
    expect(flow.stats().memory.blocksInUse).toBe(0)
    await flow.start()
    await tasks[0]!.shareFrom('body', Readable.from([body]), { size: MiB })
    await flow.process(tasks[0]!)
    expect(tasks[0]!.digest).toBe(sha1(body))
    tasks[0]!.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
    await flow.stop()
  })

  test('a flow whose workers cannot be kept alive: FlowStoppedError', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aqueduct-'))
    const file = join(folder, 'broken')
    const logger = new Journal()
    const step = new FlowStep(FragileHandler, { isolation, args: [file] })
    const flow = await started(new Flow([step], { logger, memory: 8 * MiB }))
    const source = new PassThrough()
    const outcome = arriving(flow, new UploadTask(), source)
    source.write(body.subarray(0, 500_000))
    await writeFile(file, '')
    const fatal = Object.assign(new UploadTask(), { work: { dies: true } })
    await rejection(flow.process(fatal))
    expect(await outcome).toMatchObject({ code: 'AQ_STOPPED' })
    expect(flow.state).toBe('failed')
    source.end(body)
    await flow.stop()
    expect(flow.stats().memory.blocksInUse).toBe(0)
    await rm(folder, { recursive: true })
  })
})
