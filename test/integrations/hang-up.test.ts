import { once } from 'node:events'
import { type Server, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hangUpOf } from '../../src/integrations/http.ts'
import { RawClient } from '../support/http-client.ts'

describe('hangUpOf()', () => {
  let server: Server
  let client: RawClient
  let response: ServerResponse

  beforeEach(async () => {
    server = createServer((request) => request.resume())
    await once(server.listen(0, '127.0.0.1'), 'listening')
    client = await RawClient.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    client.get('/')
    ;[, response] = (await once(server, 'request')) as [unknown, ServerResponse]
  })
  afterEach(async () => {
    await client[Symbol.asyncDispose]()
    server.close()
  })

  const closed = (): Promise<unknown> => once(response, 'close')

  test('is aborted when the client goes, with the body of its request read long ago', async () => {
    const { req: request } = response
    if (!request.readableEnded) await once(request, 'end')
    const signal = hangUpOf(response)
    expect(signal.aborted).toBe(false)
    client.hangUp()
    await closed()
    expect(signal.aborted).toBe(true)
    expect(signal.reason).toMatchObject({ name: 'AbortError', message: 'The client has hung up.' })
  })

  test('is aborted from the start when the client has gone before', async () => {
    client.hangUp()
    await closed()
    expect(hangUpOf(response).aborted).toBe(true)
  })

  test('is aborted when the client goes in the middle of its answer', async () => {
    const signal = hangUpOf(response)
    response.write('be')
    await client.receives('be')
    client.hangUp()
    await closed()
    expect(signal.aborted).toBe(true)
  })

  test('is not aborted by an answer, nor by what the client does afterwards', async () => {
    const signal = hangUpOf(response)
    response.end('done')
    await closed()
    client.hangUp()
    await client.ended()
    expect(signal.aborted).toBe(false)
    expect(hangUpOf(response).aborted).toBe(false)
  })

  test('is one signal for each response', () => {
    const listeners = response.listenerCount('close')
    const signal = hangUpOf(response)
    expect(hangUpOf(response)).toBe(signal)
    expect(response.listenerCount('close')).toBe(listeners + 1)
    response.end()
  })
})
