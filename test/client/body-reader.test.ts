import { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { readerOf } from '../../src/client/body-reader.ts'
import { RawClient, WebServer, bytesOf, sha1 } from '../support/bodies.ts'

const body = bytesOf(2 ** 20)

/** The chunks that a program pushes into a stream, as it sees them. */
function pushedInto(stream: Readable): Uint8Array[] {
  const chunks: Uint8Array[] = []
  const push = stream.push.bind(stream)
  stream.push = (chunk: Uint8Array | null) => {
    if (chunk !== null) chunks.push(chunk)
    return push(chunk)
  }
  return chunks
}

/** Reads a stream to its end, copying each chunk and giving it back. */
function readAll(stream: Readable): Promise<Uint8Array> {
  const copies: Uint8Array[] = []
  return new Promise((resolve, reject) => {
    const reader = readerOf(stream, {
      onChunk: (chunk) => {
        copies.push(Uint8Array.from(chunk as Uint8Array))
        reader.discard(chunk as Uint8Array)
      },
      onEnd: () => resolve(Buffer.concat(copies)),
      onBroken: reject,
    })
    reader.resume()
  })
}

const isGone = ({ buffer }: Uint8Array): boolean => (buffer as ArrayBuffer).detached

test('the memory of what was read from a socket is given back at once', async () => {
  await using server = await WebServer.start(() => undefined)
  await using client = await RawClient.connect(server.port)
  const coming = server.request()
  client.post(body.length).write(body)
  const request = await coming
  const chunks = pushedInto(request)
  expect(sha1(await readAll(request))).toBe(sha1(body))
  const large = chunks.filter((chunk) => isGone(chunk) || chunk.length >= 16 * 1024)
  expect(large.length).toBeGreaterThan(2)
  expect(large.every(isGone)).toBe(true)
})

test('but not while somebody else listens to the request', async () => {
  await using server = await WebServer.start(() => undefined)
  await using client = await RawClient.connect(server.port)
  const coming = server.request()
  client.post(body.length).write(body)
  const request = await coming
  const heard: Uint8Array[] = []
  request.on('data', (chunk: Uint8Array) => heard.push(chunk))
  expect(sha1(await readAll(request))).toBe(sha1(body))
  expect(sha1(Buffer.concat(heard))).toBe(sha1(body))
})

test.each<[string, () => Readable]>([
  ['a stream of the program’s own', () => new Readable({ read: () => undefined })],
  [
    'a request that the program has made up',
    () => new IncomingMessage({ readable: false } as unknown as Socket),
  ],
])('the chunks of %s stay its own', async (_, make) => {
  const stream = make()
  const chunk = Uint8Array.from(body)
  stream.push(chunk)
  stream.push(null)
  expect(sha1(await readAll(stream))).toBe(sha1(body))
  expect(isGone(chunk)).toBe(false)
  expect(sha1(chunk)).toBe(sha1(body))
})
