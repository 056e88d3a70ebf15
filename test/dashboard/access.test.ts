import { once } from 'node:events'
import { request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { text } from 'node:stream/consumers'
import Fastify, { type FastifyInstance } from 'fastify'
import { describe, expect, test } from 'vitest'
import aqueductDashboard, { type DashboardOptions } from '../../src/dashboard/plugin.ts'
import { Flow } from '../../src/index.ts'
import { SumHandler } from '../fixtures/sum.ts'

/** An application with a dashboard. */
class App implements AsyncDisposable {
  readonly logged: string[] = []
  readonly fastify: FastifyInstance

  private constructor() {
    const stream = { write: (line: string) => void this.logged.push(line) }
    this.fastify = Fastify({ logger: { level: 'warn', stream } })
  }

  static async listening(
    options: Partial<DashboardOptions> = {},
    host = '127.0.0.1',
  ): Promise<App> {
    const app = new App()
    await app.fastify.register(aqueductDashboard, { flow: new Flow([SumHandler]), ...options })
    await app.fastify.listen({ host, port: 0 })
    return app
  }

  get port(): number {
    return (this.fastify.server.address() as AddressInfo).port
  }

  /** The status of an answer, and its body. */
  async get(
    path: string,
    { headers = {}, host = '127.0.0.1' }: { headers?: Record<string, string>; host?: string } = {},
  ): Promise<{ status: number; body: string; headers: NodeJS.Dict<string | string[]> }> {
    const asking = request({
      host,
      port: this.port,
      path,
      headers: { connection: 'close', ...headers },
    })
    asking.end()
    const [answer] = await once(asking, 'response')
    return { status: answer.statusCode, body: await text(answer), headers: answer.headers }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fastify.close()
  }
}

const publicAddress = Object.values(networkInterfaces())
  .flatMap((list) => list ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address

describe('without a hook the dashboard', () => {
  test('is shown to this machine, at the path with a slash at its end', async () => {
    await using app = await App.listening()
    const redirect = await app.get('/dashboard')
    expect([redirect.status, redirect.headers['location']]).toEqual([302, './dashboard/'])
    const page = await app.get('/dashboard/')
    expect(page.status).toBe(200)
    expect(page.body).toContain('<title>aqueduct</title>')
    expect((await app.get('/dashboard/page.css')).status).toBe(200)
    expect((await app.get('/dashboard/none.js')).status).toBe(404)
    expect((await app.get('/dashboard/../package.json')).status).toBe(404)
    expect(app.logged).toEqual([])
  })

  test.each(['/dashboard', '/dashboard/', '/dashboard/events', '/dashboard/page.css'])(
    'refuses %s to who comes through a proxy, or by a name that may be anybody’s',
    async (path) => {
      await using app = await App.listening()
      for (const headers of [
        { 'x-forwarded-for': '203.0.113.9' },
        { forwarded: 'for=203.0.113.9' },
        { 'x-real-ip': '203.0.113.9' },
        { via: '1.1 proxy' },
        { host: 'rebound.example' },
        { host: 'localhost.example' },
      ]) {
        const { status, body } = await app.get(path, { headers })
        expect([status, JSON.parse(body).message]).toEqual([
          403,
          expect.stringContaining('`authorize` hook'),
        ])
      }
    },
  )

  test('refuses HTTP/1.0, which is how proxies speak that say nothing else', async () => {
    await using app = await App.listening()
    const socket = connect(app.port, '127.0.0.1')
    socket.end('GET /dashboard/ HTTP/1.0\r\nhost: localhost\r\n\r\n')
    expect(await text(socket)).toMatch(/^HTTP\/1.1 403/)
  })

  test.skipIf(publicAddress === undefined)(
    'refuses who comes from outside, and says so when the application listens there',
    async () => {
      await using app = await App.listening({}, '0.0.0.0')
      expect(app.logged.join('')).toContain('open to this machine alone')
      const outside = await app.get('/dashboard/', { host: publicAddress! })
      expect(outside.status).toBe(403)
      const pretending = await app.get('/dashboard/', {
        host: publicAddress!,
        headers: { host: 'localhost' },
      })
      expect(pretending.status).toBe(403)
      expect((await app.get('/dashboard/')).status).toBe(200)
    },
  )
})

describe('with a hook the dashboard', () => {
  test('asks it about every request, wherever that comes from', async () => {
    const asked: string[] = []
    await using app = await App.listening({
      authorize: async ({ url, headers }) => {
        asked.push(url)
        return headers.authorization === 'Bearer right'
      },
    })
    const headers = { authorization: 'Bearer right', 'x-forwarded-for': '203.0.113.9' }
    for (const path of ['/dashboard', '/dashboard/', '/dashboard/events', '/dashboard/page.css'])
      expect((await app.get(path)).status).toBe(403)
    expect((await app.get('/dashboard/', { headers })).status).toBe(200)
    expect(asked).toHaveLength(5)
  })

  test('lets it answer itself', async () => {
    await using app = await App.listening({
      authorize: async (_, reply) => {
        await reply.code(401).header('www-authenticate', 'Basic').send('Who are you?')
        return false
      },
    })
    const { status, body, headers } = await app.get('/dashboard/')
    expect([status, body, headers['www-authenticate']]).toEqual([401, 'Who are you?', 'Basic'])
  })

  test('shows nothing when it fails, or answers anything but true', async () => {
    await using failing = await App.listening({ authorize: () => Promise.reject(new Error('no')) })
    expect((await failing.get('/dashboard/')).status).toBe(500)
    await using vague = await App.listening({ authorize: () => 'yes' as unknown as boolean })
    expect((await vague.get('/dashboard/')).status).toBe(403)
  })
})

test('its files are the only ones that the page may load, and nobody may frame it', async () => {
  await using app = await App.listening()
  const { headers } = await app.get('/dashboard/')
  const policy = String(headers['content-security-policy'])
  expect(policy).toContain("default-src 'none'")
  expect(policy).toContain("frame-ancestors 'none'")
  expect(policy).not.toContain('unsafe')
  const again = await app.get('/dashboard/', {
    headers: { 'if-none-match': String(headers['etag']) },
  })
  expect([again.status, again.body]).toEqual([304, ''])
})

test('who asks for the head of the stream alone is not kept waiting for its end', async () => {
  await using app = await App.listening()
  const asking = request({ port: app.port, path: '/dashboard/events', method: 'HEAD' })
  asking.end()
  const [answer] = await once(asking, 'response')
  expect([answer.statusCode, await text(answer)]).toEqual([200, ''])
})

test('an application closes while somebody watches', async () => {
  const app = await App.listening()
  const asking = request({ port: app.port, path: '/dashboard/events' })
  asking.end()
  const [answer] = await once(asking, 'response')
  await app.fastify.close()
  expect(await text(answer)).toContain('event: sample')
})

test.each([
  [{ flow: {} }, "'flow' must be a Flow or a FlowObserver"],
  [{ flow: undefined }, 'either { flow } or { address }'],
  [{ address: 'a' }, 'either { flow } or { address }'],
  [{ path: '/dashboard/' }, "'path' must be a path that begins with '/'"],
  [{ authorise: () => true }, "did you mean 'authorize'"],
])('an option that cannot be is refused: %o', async (options, message) => {
  await expect(App.listening(options as Partial<DashboardOptions>)).rejects.toThrow(message)
})
