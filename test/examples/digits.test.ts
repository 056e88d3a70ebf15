import { execFile } from 'node:child_process'
import { connect } from 'node:net'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FlowStats } from '../../src/index.ts'
import type { Answer } from '../../examples/digits/task.ts'
import { type Example, eventually, root, runExample, startExample } from './example.ts'
import { blank, samples, seven } from './pictures.ts'

interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: Answer & {
    readonly timings: { readonly totalMs: number; readonly steps: readonly { step: string }[] }
    readonly error: { readonly code: string; readonly message: string }
  }
}

async function predict(
  { url }: Pick<Example, 'url'>,
  image: Uint8Array,
  type = 'image/png',
  init: RequestInit = {},
): Promise<Reply> {
  const response = await fetch(`${url}/predict`, {
    method: 'POST',
    body: image as Uint8Array<ArrayBuffer>,
    headers: type === '' ? {} : { 'content-type': type },
    ...init,
  })
  const { status, headers } = response
  return { status, headers, body: (await response.json()) as Reply['body'] }
}

const statsOf = async ({ url }: Example): Promise<FlowStats> =>
  (await (await fetch(`${url}/stats`)).json()) as FlowStats

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Keeps a worker busy for some hundred milliseconds. */
let large: Buffer
let small: Buffer

beforeAll(async () => {
  large = await seven(5000).png().toBuffer()
  small = await seven(200).png().toBuffer()
})

describe('the digits service', () => {
  let service: Example

  beforeAll(async () => {
    service = await startExample('digits/server.ts')
  })
  afterAll(() => service[Symbol.asyncDispose]())

  test('recognises the pictures of the repository, many at once', async () => {
    expect(samples.length).toBeGreaterThan(9)
    const answers = await Promise.all(
      samples.map(async ({ name, type, read }) => {
        const { status, body } = await predict(service, read(), type)
        return { name, status, digit: body.digit }
      }),
    )
    expect(answers).toEqual(samples.map(({ name, digit }) => ({ name, status: 200, digit })))
  })

  test('answers with the digit, ten scores and where the time went', async () => {
    const { body } = await predict(service, small)
    expect(body.digit).toBe(7)
    expect(body.scores).toHaveLength(10)
    expect(body.confidence).toBe(Math.max(...body.scores))
    expect(body.scores.reduce((sum, score) => sum + score)).toBeCloseTo(1, 2)
    expect(body.timings.totalMs).toBeGreaterThan(0)
    expect(body.timings.steps).toEqual(
      ['Decode', 'Classify', 'Answer'].map((step) => ({
        step,
        startMs: expect.any(Number),
        queueMs: expect.any(Number),
        batchMs: expect.any(Number),
        handleMs: expect.any(Number),
        batchSize: expect.any(Number),
      })),
    )
  })

  test.each(['image/png', 'image/jpeg', 'application/octet-stream'])('takes %s', async (type) => {
    const image = type === 'image/jpeg' ? await seven(300).jpeg().toBuffer() : small
    expect(await predict(service, image, type)).toMatchObject({ status: 200, body: { digit: 7 } })
  })

  test('refuses what is no digit with 400, and those beside it do not suffer', async () => {
    const broken = small.subarray(0, small.length / 2)
    const images = [await blank(), Buffer.from('not an image'), Buffer.alloc(0), broken]
    const mixed = [small, ...images.flatMap((image) => [image, small])]
    const replies = await Promise.all(mixed.map((image) => predict(service, image)))
    expect(replies.map(({ status }) => status)).toEqual([200, ...images.flatMap(() => [400, 200])])
    for (const { status, body } of replies) {
      if (status === 200) continue
      expect(body).toEqual({ error: { code: 'BAD_IMAGE', message: expect.any(String) } })
      expect(body.error.message).not.toContain('/')
    }
  })

  test('refuses a body over 8 MiB with 413', async () => {
    const { status, body } = await predict(service, Buffer.alloc(8 * 1024 * 1024 + 1))
    expect(status).toBe(413)
    expect(body).toEqual({ error: { code: expect.any(String), message: expect.any(String) } })
  })

  test('refuses it also where it does not say its length, and the sender hears of it', async () => {
    const mebibyte = Buffer.alloc(1024 * 1024)
    const chunks = ReadableStream.from(Array.from({ length: 12 }, () => mebibyte))
    const init = { body: chunks, duplex: 'half' } as unknown as RequestInit
    const { status, body } = await predict(service, small, 'image/png', init)
    expect(status).toBe(413)
    expect(body.error.code).toBe('AQ_PAYLOAD_TOO_LARGE')
  })

  test('takes a picture that does not say its length', async () => {
    const halves = [small.subarray(0, 1000), small.subarray(1000)]
    const init = { body: ReadableStream.from(halves), duplex: 'half' } as unknown as RequestInit
    const { status, body } = await predict(service, small, 'image/png', init)
    expect([status, body.digit]).toEqual([200, 7])
  })

  test('a picture that breaks off leaves nothing', async () => {
    const { hostname, port } = new URL(service.url)
    const head = `POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 500000\r\n\r\n`
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    socket.write(head)
    socket.write(Buffer.alloc(100_000))
    await eventually(async () => (await statsOf(service)).memory.blocksInUse || undefined)
    socket.resetAndDestroy()
    await eventually(async () => (await statsOf(service)).memory.blocksInUse === 0 || undefined)
    expect(await predict(service, small)).toMatchObject({ status: 200, body: { digit: 7 } })
  })

  test.each(['text/plain', 'application/json', 'image/gif', ''])(
    'refuses the content type "%s" with 415',
    async (type) => {
      const { status, body } = await predict(service, small, type)
      expect(status).toBe(415)
      expect(body).toEqual({ error: { code: expect.any(String), message: expect.any(String) } })
    },
  )

  test('answers in JSON also where there is nothing', async () => {
    for (const [path, status] of [
      ['/nothing', 404],
      ['/%zz', 400],
      ['/predict', 404],
    ] as const) {
      const response = await fetch(service.url + path)
      expect(response.status).toBe(status)
      expect(await response.json()).toEqual({
        error: { code: expect.any(String), message: expect.any(String) },
      })
    }
  })

  test('a client that hangs up cancels its task', async () => {
    const before = (await statsOf(service)).tasks.cancelled
    const hangUp = new AbortController()
    const request = predict(service, large, 'image/png', { signal: hangUp.signal })
    request.catch(() => undefined)
    await eventually(async () => (await statsOf(service)).tasks.pending || undefined)
    hangUp.abort()
    await expect(request).rejects.toThrow('abort')
    const { tasks } = await eventually(async () => {
      const stats = await statsOf(service)
      return stats.tasks.cancelled > before ? stats : undefined
    })
    expect(tasks.cancelled).toBe(before + 1)
  })

  test('is alive and ready', async () => {
    for (const path of ['/health/live', '/health/ready']) {
      expect((await fetch(service.url + path)).status).toBe(200)
    }
  })

  test('serves its page', async () => {
    const response = await fetch(service.url)
    expect(response.headers.get('content-type')).toContain('text/html')
    expect(await response.text()).toContain('<canvas')
  })

  test('prints a curl line that works as it stands', async () => {
    const line = await eventually(async () => /curl .*predict/.exec(service.printed())?.[0])
    const hasCurl = await promisify(execFile)('curl', ['--version']).then(
      () => true,
      () => false,
    )
    const [, file, type] = /@(\S+) -H 'content-type: (\S+)'/.exec(line)!
    const sample = samples.find(({ name }) => file!.endsWith(name))!
    const { digit } = hasCurl
      ? JSON.parse((await promisify(execFile)('sh', ['-c', line], { cwd: root })).stdout)
      : (await predict(service, sample.read(), type)).body
    expect(digit).toBe(sample.digit)
  })

  test('says that its port is taken, and nothing else', async () => {
    const { port } = new URL(service.url)
    const { code, printed } = await runExample('digits/server.ts', [], { PORT: port })
    expect(code).toBe(1)
    expect(printed).toContain(`Port ${port} of 127.0.0.1 is taken`)
    expect(printed.trim().split('\n')).toHaveLength(1)
  })

  test('holds no shared memory once all is answered', async () => {
    expect((await statsOf(service)).memory.blocksInUse).toBe(0)
  })

  // The last one: it ends the service.
  test('finishes what is in flight on SIGINT, and leaves no process', async () => {
    const { workers } = await statsOf(service)
    const request = predict(service, large)
    await eventually(async () => (await statsOf(service)).tasks.pending || undefined)
    void service.end('SIGINT') // a Ctrl-C under npm arrives twice
    const { code, printed } = await service.end('SIGINT')
    expect(await request).toMatchObject({ status: 200, body: { digit: 7 } })
    expect(code).toBe(0)
    expect(printed).toContain('Stopped.')
    expect(workers.filter(({ pid }) => isAlive(pid))).toEqual([])
  })
})

describe('a digits service with one place and little time', () => {
  const port = 20_000 + (process.pid % 20_000)
  const url = `http://127.0.0.1:${port}`
  let service: Example
  let early: Response
  let refused: Reply

  beforeAll(async () => {
    const started = startExample('digits/server.ts', {
      PORT: String(port),
      MAX_PENDING: '1',
      TIMEOUT: '100',
    })
    early = await eventually(() => fetch(`${url}/health/ready`).catch(() => undefined))
    refused = await predict({ url }, small)
    service = await started
  })
  afterAll(() => service[Symbol.asyncDispose]())

  test('is not ready before its workers are, and says so to those who ask', async () => {
    expect(early.status).toBe(503)
    expect(refused).toMatchObject({ status: 503, body: { error: { code: 'AQ_NOT_RUNNING' } } })
    expect(refused.headers.get('retry-after')).not.toBeNull()
    expect((await fetch(`${url}/health/ready`)).status).toBe(200)
  })

  test('answers 503 when it is full and says when to come again, and 504 when it is late', async () => {
    const replies = await Promise.all(Array.from({ length: 8 }, () => predict(service, large)))
    const full = replies.filter(({ status }) => status === 503)
    const late = replies.filter(({ status }) => status === 504)
    expect(full).not.toEqual([])
    expect(late).not.toEqual([])
    expect(full.length + late.length).toBe(8)
    for (const { headers, body } of full) {
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
      expect(body).toEqual({ error: { code: 'AQ_QUEUE_FULL', message: expect.any(String) } })
    }
    for (const { body } of late) {
      expect(body).toEqual({ error: { code: 'AQ_TIMEOUT', message: expect.any(String) } })
    }
  })

  test('SIGTERM ends it', async () => {
    const { code, printed } = await service.end('SIGTERM')
    expect(code).toBe(0)
    expect(printed).toContain('Stopped.')
  })
})
