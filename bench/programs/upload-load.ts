// The program that sends bodies to the server of `workloads/upload.ts`, as many at once as it is told, each again and
// again the same chunk.
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { chunk, sumOfBody } from '../harness/bodies.ts'
import type { LoadPlan, Sent } from './upload-messages.ts'

const { port, bodyBytes, requests, atOnce, chunked }: LoadPlan = JSON.parse(process.argv[2]!)

const agent = new Agent({ keepAlive: true, maxSockets: atOnce })
const expected = sumOfBody(bodyBytes)
const type = { 'content-type': 'application/octet-stream' }
const headers = chunked ? type : { ...type, 'content-length': bodyBytes }

function* chunks(): Generator<Uint8Array> {
  for (let sent = 0; sent < bodyBytes; sent += chunk.length) yield chunk
}

async function send(): Promise<number> {
  const begin = performance.now()
  const sending = request({ agent, port, host: '127.0.0.1', method: 'POST', headers })
  const answering = once(sending, 'response') as Promise<[IncomingMessage]>
  await pipeline(Readable.from(chunks()), sending)
  const [response] = await answering
  let text = ''
  for await (const part of response.setEncoding('utf8')) text += part as string
  const { sum } = JSON.parse(text) as { readonly sum?: number }
  if (sum !== expected) throw new Error(`wrong answer ${response.statusCode}: ${text}`)
  return performance.now() - begin
}

let left = requests
const durationsMs: number[] = []
const begin = performance.now()
await Promise.all(
  Array.from({ length: atOnce }, async () => {
    while (left > 0) {
      left--
      durationsMs.push(await send())
    }
  }),
)
const sent: Sent = { totalMs: performance.now() - begin, durationsMs }
process.send!(sent)
agent.destroy()
process.disconnect()
