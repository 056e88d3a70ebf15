import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { readerOf } from '../../src/client/body-reader.ts'
import { RawClient, WebServer, bytesOf, sha1 } from '../support/bodies.ts'

const body = bytesOf(2 ** 20)

interface Read {
  readonly bytes: Uint8Array
  /** How many of the chunks were of 8 KiB or more, and how many have lost their memory. */
  readonly large: number
  readonly gone: number
}

/** Reads a stream to its end, copying each chunk and giving it back. */
function readAll(stream: Readable): Promise<Read> {
  const copies: Uint8Array[] = []
  const chunks: Uint8Array[] = []
  return new Promise((resolve, reject) => {
    const reader = readerOf(stream, {
      onChunk: (chunk) => {
        chunks.push(chunk as Uint8Array)
        copies.push(Uint8Array.from(chunk as Uint8Array))
        reader.discard(chunk as Uint8Array)
      },
      onEnd: () =>
        resolve({
          bytes: Buffer.concat(copies),
          large: copies.filter(({ length }) => length >= 8 * 1024).length,
          gone: chunks.filter(isGone).length,
        }),
      onBroken: reject,
    })
    reader.resume()
  })
}

const isGone = ({ buffer }: Uint8Array): boolean => (buffer as ArrayBuffer).detached

/** A request whose body is on its way, for the length of `use`. */
async function withRequest(use: (request: IncomingMessage) => Promise<void>): Promise<void> {
  await using server = await WebServer.start(() => undefined)
  await using client = await RawClient.connect(server.port)
  const coming = server.request()
  client.post(body.length).write(body)
  await use(await coming)
}

test('the memory of what was read from a socket is given back at once', () =>
  withRequest(async (request) => {
    const { bytes, large, gone } = await readAll(request)
    expect(sha1(bytes)).toBe(sha1(body))
    expect(large).toBeGreaterThan(2)
    expect(gone).toBe(large)
  }))

describe('but not what somebody else may have:', () => {
  test.each<[string, (request: IncomingMessage, heard: Uint8Array[]) => void]>([
    ['who listens too', (request, heard) => void request.on('data', (chunk) => heard.push(chunk))],
    [
      'who has looked at the beginning',
      (request, heard) => void request.once('data', (chunk) => heard.push(chunk)),
    ],
    [
      'who reads once',
      (request, heard) => void request.once('readable', () => heard.push(request.read())),
    ],
    [
      'who reads it as well',
      (request, heard) =>
        void request.on('readable', () => {
          for (let chunk = request.read(); chunk !== null; chunk = request.read()) heard.push(chunk)
        }),
    ],
    [
      'who has patched the request',
      (request, heard) => {
        const push = request.push.bind(request)
        request.push = (chunk: Uint8Array | null) => {
          if (chunk !== null) heard.push(chunk)
          return push(chunk)
        }
      },
    ],
  ])('%s', (_, listen) =>
    withRequest(async (request) => {
      const heard: Uint8Array[] = []
      listen(request, heard)
      const { bytes, gone } = await readAll(request)
      expect(sha1(bytes)).toBe(sha1(body))
      expect(gone).toBe(0)
      expect(heard.length).toBeGreaterThan(0)
      expect(heard.some(isGone)).toBe(false)
    }),
  )

  test('who begins to listen while it is read', () =>
    withRequest(async (request) => {
      const heard: Uint8Array[] = []
      const reading = readAll(request)
      request.once('data', () => request.on('data', (chunk: Uint8Array) => heard.push(chunk)))
      const { bytes } = await reading
      expect(sha1(bytes)).toBe(sha1(body))
      expect(heard.length).toBeGreaterThan(0)
      expect(heard.some(isGone)).toBe(false)
    }))

  test.each<[string, () => Readable]>([
    ['a stream of the program’s own', () => new Readable({ read: () => undefined })],
    ['a request that the program has made up', () => new IncomingMessage(new Socket())],
  ])('%s', async (_, make) => {
    const stream = make()
    const chunk = Uint8Array.from(body)
    stream.push(chunk)
    stream.push(null)
    expect(sha1((await readAll(stream)).bytes)).toBe(sha1(body))
    expect(isGone(chunk)).toBe(false)
    expect(sha1(chunk)).toBe(sha1(body))
  })
})
