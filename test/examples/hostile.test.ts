import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FlowStats } from '../../src/index.ts'
import { boundlessJpeg, boundlessPng, hugePng, largestPng, overfullPng, wordyPng } from './bombs.ts'
import { type Example, eventually, startExample } from './example.ts'
import { samples } from './pictures.ts'

/** What may be in no answer: a stack trace, a file or a module of the server. */
const INTERNALS =
  /\bat \S+ \(|node_modules|node:internal|\.[jt]s\b|file:\/\/|\/(?:work|home|root|usr)\//

let service: Example

beforeAll(async () => {
  service = await startExample('digits/server.ts')
})
afterAll(() => service[Symbol.asyncDispose]())

/** Sends bytes over a connection of their own, and ends it or not. Resolves with all that comes until the server ends it. */
async function shoot(bytes: string | Buffer, { url } = service, hangsUp = false): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
  let received = ''
  socket.setEncoding('latin1').on('data', (text: string) => {
    received += text
  })
  socket.on('error', () => undefined) // cut off in the middle of what it sends
  const closed = once(socket, 'close')
  socket.on('end', () => socket.destroy())
  if (hangsUp) socket.end(bytes, 'latin1')
  else socket.write(bytes, 'latin1')
  await closed
  return received
}

const post = (body: string | Buffer, headers: readonly string[] = []): Buffer =>
  Buffer.concat([
    Buffer.from(
      [
        'POST /predict HTTP/1.1',
        'host: x',
        'content-type: image/png',
        `content-length: ${body.length}`,
        'connection: close',
        ...headers,
        '\r\n',
      ].join('\r\n'),
    ),
    Buffer.from(body),
  ])

const raw = (...lines: readonly string[]): string => `${lines.join('\r\n')}\r\n\r\n`

const statusesOf = (received: string): number[] =>
  [...received.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))

/** The head of a picture that says it is so long. */
const headOf = (length: number): string =>
  raw('POST /predict HTTP/1.1', 'host: x', 'content-type: image/png', `content-length: ${length}`)

interface Answer {
  readonly status: number
  readonly text: string
}

/** A well-formed request over one of the connections of the agent. */
function ask(agent: Agent, path: string, body?: Buffer, type = 'image/png'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST'
    const headers =
      body === undefined ? {} : { 'content-type': type, 'content-length': body.length }
    const sent = request(service.url + path, { agent, method, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      response.on('end', () => resolve({ status: response.statusCode!, text }))
    })
    sent.on('error', reject).end(body)
  })
}

const statsOf = async ({ url }: Example): Promise<FlowStats> =>
  (await (await fetch(`${url}/stats`)).json()) as FlowStats

/** The service has nothing to do and holds nothing, and nobody has died. */
async function isUnharmed(of: Example = service): Promise<void> {
  const { tasks, workers } = await eventually(async () => {
    const stats = await statsOf(of)
    return stats.memory.blocksInUse === 0 && stats.tasks.pending === 0 ? stats : undefined
  })
  expect(tasks.failed).toBe(0)
  expect(workers.map(({ state }) => state)).toEqual(['running', 'running', 'running', 'running'])
  expect(of.printed()).not.toMatch(/Error|restart/)
}

const sample = samples[0]!

test('requests that are none are answered with 400, and their connection is closed', async () => {
  const bad = [
    'hello\r\n\r\n',
    '\0\0\0\0\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', // TLS
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'GET / HTTP/9.9\r\nhost: x\r\n\r\n',
    'BREW / HTTP/1.1\r\nhost: x\r\n\r\n',
    raw('GET / HTTP/1.1'), // no host
    raw('GET / HTTP/1.1', 'host: x', 'bad header'),
    raw('GET / HTTP/1.1', 'host: x', 'a\0b: c'),
    raw('GET / HTTP/1.1', 'host: x', 'a: b\rc'),
    raw('GET / HTTP/1.1', 'host: x', ' folded: x'),
    raw('POST /predict HTTP/1.1', 'host: x', 'content-length: -1'),
    raw('POST /predict HTTP/1.1', 'host: x', 'content-length: 1e3'),
    raw('POST /predict HTTP/1.1', 'host: x', 'content-length: 99999999999999999999999'),
    `${raw('POST /predict HTTP/1.1', 'host: x', 'content-type: image/png', 'transfer-encoding: chunked')}zz\r\nx`,
    `${raw('POST /predict HTTP/1.1', 'host: x', 'content-type: image/png', 'transfer-encoding: chunked')}ffffffffffffffffff\r\nx`,
  ]
  for (const bytes of bad) {
    const received = await shoot(bytes)
    expect([bytes, statusesOf(received)]).toEqual([bytes, [400]])
    expect(received).not.toMatch(INTERNALS)
  }
  await isUnharmed()
})

test('a body cannot smuggle a request past those before us', async () => {
  const inner = raw('GET /stats HTTP/1.1', 'host: x')
  const line = ['POST /predict HTTP/1.1', 'host: x', 'content-type: image/png']
  const smuggled = [
    raw(...line, 'content-length: 5', 'transfer-encoding: chunked') + `0\r\n\r\n${inner}`,
    raw(...line, 'transfer-encoding: chunked', 'content-length: 5') + `0\r\n\r\n${inner}`,
    raw(...line, 'content-length: 0', `content-length: ${inner.length}`) + inner,
    raw(...line, `content-length: 0, ${inner.length}`) + inner,
    raw(...line, 'transfer-encoding: xchunked') + `0\r\n\r\n${inner}`,
    raw(...line, 'transfer-encoding: chunked, identity') + `0\r\n\r\n${inner}`,
    raw(...line, 'transfer-encoding : chunked') + `0\r\n\r\n${inner}`,
    raw(...line, 'transfer-encoding: chunked') + `0\n\n${inner}`,
  ]
  for (const bytes of smuggled) {
    const received = await shoot(bytes)
    expect([bytes, statusesOf(received)]).toEqual([bytes, [400]])
    expect(received).not.toContain('"tasks"')
  }
  await isUnharmed()
})

test('a length that is a lie harms only its own request', async () => {
  const picture = sample.read()
  // Too short: what is left over is not a request.
  const short = await shoot(Buffer.concat([Buffer.from(headOf(20)), picture]))
  expect(new Set(statusesOf(short))).toEqual(new Set([400]))
  // Too long: the connection ends before the body does.
  for (const length of [picture.length + 1, 4_000_000])
    expect(
      statusesOf(await shoot(Buffer.concat([Buffer.from(headOf(length)), picture]), service, true)),
    ).not.toContain(200)
  // Far too long: refused before it comes.
  expect(statusesOf(await shoot(headOf(9_000_000), service, true))).toContain(413)
  await isUnharmed()
})

test('truncated requests leave nothing, wherever they are cut', async () => {
  const whole = post(sample.read())
  const cuts = Array.from({ length: 60 }, (_, cut) => Math.floor((whole.length * cut) / 60))
  const answers = await Promise.all(cuts.map((cut) => shoot(whole.subarray(0, cut), service, true)))
  for (const received of answers) {
    expect(statusesOf(received)).not.toContain(200)
    expect(received).not.toMatch(INTERNALS)
  }
  expect(statusesOf(await shoot(whole))).toEqual([200])
  await isUnharmed()
})

test('headers and paths that are too long, too many or too clever', async () => {
  const get = (path: string, ...headers: readonly string[]): string =>
    raw(`GET ${path} HTTP/1.1`, 'host: x', 'connection: close', ...headers)
  const long = 'a'.repeat(20_000)
  const tricks: readonly (readonly [bytes: string, statuses: readonly number[]])[] = [
    [get('/', `x: ${long}`), [431]],
    [get(`/${long}`), [431]],
    [get('/', ...Array.from({ length: 5_000 }, (_, i) => `x${i}: ${i}`)), [431]],
    [get('/../../../../etc/passwd'), [404]],
    [get('/%2e%2e/%2e%2e/etc/passwd'), [404]],
    [get('/..%5c..%5cserver.ts'), [404]],
    [get('//etc/passwd'), [404]],
    [get('/server.ts'), [404]],
    [get('/%00'), [404]],
    [get('/%zz'), [400]],
    [get('/%c0%ae%c0%ae/'), [400]],
    [get('/health/live?__proto__[polluted]=1&constructor[prototype][polluted]=1'), [200]],
    [get('http://evil.example/etc/passwd'), [404]],
    [get('/stats', '__proto__: x', 'constructor: x', 'toString: x'), [200]],
    [raw('OPTIONS * HTTP/1.1', 'host: x', 'connection: close'), [404]],
    [raw('TRACE / HTTP/1.1', 'host: x', 'connection: close'), [404]],
    [raw('DELETE /predict HTTP/1.1', 'host: x', 'connection: close'), [404]],
  ]
  for (const [bytes, statuses] of tricks) {
    const received = await shoot(bytes)
    expect([bytes.slice(0, 80), statusesOf(received)]).toEqual([bytes.slice(0, 80), statuses])
    // What was asked for may be named.
    expect(received.replace(/There is no .*"/, '')).not.toMatch(INTERNALS)
    expect(received).not.toContain('root:')
    expect(received).not.toContain('polluted":')
  }
  const json = Buffer.from(
    '{"__proto__":{"isReadable":false},"constructor":{"prototype":{"digit":4}}}',
  )
  for (const type of ['application/json', 'image/png; __proto__=1', '__proto__'])
    expect([400, 415]).toContain((await ask(new Agent(), '/predict', json, type)).status)
  expect(await ask(new Agent(), '/predict', sample.read(), sample.type)).toMatchObject({
    status: 200,
  })
  await isUnharmed()
})

test('pictures that are bombs are bad pictures, and soon', async () => {
  const bombs = { hugePng, largestPng, overfullPng, boundlessPng, wordyPng, boundlessJpeg }
  const agent = new Agent({ keepAlive: true })
  for (const [name, make] of Object.entries(bombs)) {
    const bomb = make()
    expect(bomb.length).toBeLessThan(8 * 2 ** 20)
    const { status, text } = await ask(agent, '/predict', bomb)
    expect([name, status, text]).toEqual([name, 400, expect.stringContaining('"BAD_IMAGE"')])
    expect(text).not.toMatch(INTERNALS)
  }
  agent.destroy()
  await isUnharmed()
})

test('10,000 bad requests among 10,000 good ones: all the good ones are answered, and right', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  const pictures = samples.map(({ read, type, digit }) => ({ body: read(), type, digit }))
  /** Every tenth is a picture, whose digit comes back; the others are small. */
  const good = async (number: number): Promise<string> => {
    if (number % 10 > 0) return (await ask(agent, '/health/ready')).text
    const { body, type } = pictures[(number / 10) % pictures.length]!
    const { text } = await ask(agent, '/predict', body, type)
    return String((JSON.parse(text) as { readonly digit?: number }).digit ?? text)
  }
  const right = (number: number): string =>
    number % 10 > 0
      ? '{"status":"ok","flows":{"flow":"running"}}'
      : String(pictures[(number / 10) % pictures.length]!.digit)
  const picture = sample.read()
  // Some end their connection, others share those of the good ones.
  const bad: readonly (() => Promise<readonly number[]>)[] = [
    async () => statusesOf(await shoot('nonsense\r\n\r\n')),
    async () => statusesOf(await shoot(raw('GET / HTTP/1.1'))),
    async () => [(await ask(agent, '/%zz')).status],
    async () => [(await ask(agent, '/predict', Buffer.from('no picture'))).status],
    async () => [(await ask(agent, '/predict', picture.subarray(0, 600))).status],
    async () => [(await ask(agent, '/predict', picture, 'text/plain')).status],
    async () => [(await ask(agent, `/${'../'.repeat(9)}etc/passwd`)).status],
    async () =>
      statusesOf(
        await shoot(
          raw(
            'POST /predict HTTP/1.1',
            'host: x',
            'content-length: 1',
            'transfer-encoding: chunked',
          ),
        ),
      ),
    async () =>
      statusesOf(
        await shoot(
          `${raw('POST /predict HTTP/1.1', 'host: x', 'content-type: image/png', 'transfer-encoding: chunked')}zz`,
        ),
      ),
    async () =>
      statusesOf(await shoot(raw('GET /stats HTTP/1.1', 'host: x', `y: ${'x'.repeat(20_000)}`))),
  ]
  const expected = [[400], [400], [400], [400], [400], [415], [404], [400], [400], [431]]
  let next = 0
  const loop = async (): Promise<void> => {
    while (next < 10_000) {
      const number = next++
      const kind = number % bad.length
      const [answer, statuses] = await Promise.all([good(number), bad[kind]!()])
      expect([number, answer, statuses]).toEqual([number, right(number), expected[kind]])
    }
  }
  await Promise.all(Array.from({ length: 16 }, loop))
  agent.destroy()
  await isUnharmed()
}, 600_000)

describe('a service that waits for nobody longer than half a second', () => {
  let impatient: Example

  beforeAll(async () => {
    impatient = await startExample('digits/server.ts', { REQUEST_TIMEOUT: '500' })
  })
  afterAll(() => impatient[Symbol.asyncDispose]())

  test('cuts off those who send slowly, or nothing, and holds no memory for them', async () => {
    const head = raw(
      'POST /predict HTTP/1.1',
      'host: x',
      'content-type: image/png',
      'content-length: 1000000',
    )
    const slow = ['GET / HT', 'GET / HTTP/1.1\r\nhost: x\r\nx: ', head, head + 'x'.repeat(400_000)]
    const received = await Promise.all(
      Array.from({ length: 40 }, (_, i) => shoot(slow[i % slow.length]!, impatient)),
    )
    for (const text of received) {
      expect(statusesOf(text).filter((status) => status !== 408)).toEqual([])
      expect(text).not.toMatch(INTERNALS)
    }
    await isUnharmed(impatient)
    const { status } = await fetch(`${impatient.url}/health/ready`)
    expect(status).toBe(200)
  })
})
