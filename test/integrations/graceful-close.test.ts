import { once } from 'node:events'
import { type RequestListener, type Server, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { gracefulClose } from '../../src/integrations/http.ts'
import { rejection, until } from '../support/flow.ts'
import { RawClient } from '../support/http-client.ts'

const MiB = 2 ** 20
/** Far more than what a closed test would wait for. */
const NEVER = 1_000_000

describe('gracefulClose()', () => {
  let server: Server

  afterEach(() => server.closeAllConnections())

  /** A server whose responses the test gets, one after another. */
  async function listen(onRequest: RequestListener = () => undefined) {
    server = createServer(
      { keepAliveTimeout: NEVER, headersTimeout: 0, requestTimeout: 0 },
      onRequest,
    )
    const close = gracefulClose(server)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const nextResponse = async (): Promise<ServerResponse> => {
      const [, response] = await once(server, 'request')
      return response as ServerResponse
    }
    return { url, close, nextResponse }
  }

  test('lets a request that is under way be answered, and ends its connection', async () => {
    const { url, close, nextResponse } = await listen()
    await using client = await RawClient.connect(url)
    client.get('/')
    const response = await nextResponse()
    const closed = close({ timeout: NEVER })
    response.end('done')
    await closed
    await client.ended()
    expect(client.received).toMatch(/^HTTP\/1.1 200 OK\r\nconnection: close\r\n[^]*done$/i)
  })

  test('ends a connection that would be kept alive when its answer had begun before', async () => {
    const { url, close, nextResponse } = await listen()
    await using client = await RawClient.connect(url)
    client.get('/')
    const response = await nextResponse()
    response.write('be')
    await client.receives('be')
    const closed = close({ timeout: NEVER })
    await until(() => !server.listening, 'the server is closing')
    response.end('gun')
    await closed
    await client.ended()
    expect(client.received).toContain('gun')
  })

  test('ends idle connections, used or not', async () => {
    const { url, close } = await listen((_request, response) => response.end('done'))
    await using used = await RawClient.connect(url)
    await using unused = await RawClient.connect(url)
    used.get('/')
    await used.receives('done')
    await close({ timeout: NEVER })
    await Promise.all([used.ended(), unused.ended()])
    expect(unused.received).toBe('')
  })

  test('does not cut off an answer that a slow client has not read yet', async () => {
    const body = Buffer.alloc(32 * MiB, 'x')
    const { url, close, nextResponse } = await listen()
    await using client = await RawClient.connect(url)
    client.pause()
    client.get('/')
    const response = await nextResponse()
    response.setHeader('content-length', body.length).end(body)
    const closed = close({ timeout: NEVER })
    client.resume()
    await closed
    await client.ended()
    expect(client.received.length).toBeGreaterThan(body.length)
  })

  test('takes no new connections', async () => {
    const { url, close } = await listen()
    await close()
    expect(await rejection(fetch(url))).toMatchObject({ cause: { code: 'ECONNREFUSED' } })
  })

  test('cuts what is left at its timeout: half a request, an answer that never comes, an upgraded connection', async () => {
    const { url, close, nextResponse } = await listen()
    server.on('upgrade', (_request, socket) => socket.write('HTTP/1.1 101 Fine\r\n\r\n'))
    await using half = await RawClient.connect(url)
    await using waiting = await RawClient.connect(url)
    await using upgraded = await RawClient.connect(url)
    upgraded.send('GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: test\r\n\r\n')
    await upgraded.receives('101')
    half.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-le')
    waiting.get('/')
    await nextResponse()
    await close({ timeout: 100 })
    await Promise.all([half.ended(), waiting.ended(), upgraded.ended()])
    expect(server.listening).toBe(false)
  })

  test('closes once, however often it is asked to', async () => {
    const { close } = await listen()
    await Promise.all([close(), close()])
    await close()
    expect(server.listening).toBe(false)
  })

  test('names the option that a misspelt one meant', async () => {
    const { close } = await listen()
    expect(await rejection(close({ timeOut: 5 } as object))).toMatchObject({
      code: 'AQ_INVALID_OPTION',
      message: "close() has no option 'timeOut'; did you mean 'timeout'?",
    })
    await close()
  })
})
