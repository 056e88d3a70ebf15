// What must compile, and what must not: `tsc` is the test.
import type { ServerResponse } from 'node:http'
import Fastify from 'fastify'
import { BaseTask, Flow } from '../../src/index.ts'
import aqueduct from '../../src/integrations/fastify.ts'
import { hangUpOf, toHttpError } from '../../src/integrations/http.ts'
import { LifeTask, SlowStart } from '../fixtures/life.ts'
import { SumHandler, SumTask } from '../fixtures/sum.ts'

// As an application tells the compiler of its flows.
declare module '../../src/integrations/fastify.ts' {
  interface Flows {
    typedSums: Flow<SumTask>
  }
}

class TextTask extends BaseTask {
  readonly text: string = ''
}

const sums = new Flow([SumHandler])
const texts = new Flow<TextTask>([])
const lives = new Flow<LifeTask>([])

const app = Fastify()
await app.register(aqueduct, { flow: sums })
await app.register(aqueduct, { flows: { sums, lives } })
await app.register(aqueduct, { flows: { typedSums: sums, lives }, closeOnSignals: ['SIGTERM'] })
await Fastify({ http2: true }).register(aqueduct, { flow: sums, prefix: '/v1' })

// @ts-expect-error - the application has said that this name stands for sums
await app.register(aqueduct, { flows: { typedSums: texts } })
// @ts-expect-error - a handler is no flow
await app.register(aqueduct, { flow: SlowStart })
// @ts-expect-error - no such signal
await app.register(aqueduct, { flow: sums, closeOnSignals: ['SIGTERMINATE'] })
// @ts-expect-error - a path, or false
await app.register(aqueduct, { flow: sums, liveness: true })

app.get('/', async (_request, reply) => {
  const signal: AbortSignal = reply.hangUp
  const { sum } = await app.flows.typedSums.process(new SumTask(1), { signal })
  // @ts-expect-error - the flow of sums takes no other task
  void app.flows.typedSums.process(new LifeTask())
  // @ts-expect-error - nobody has told the compiler of this one
  void app.flows.lives
  // @ts-expect-error - decorated once
  reply.hangUp = AbortSignal.abort()
  return sum
})

declare const response: ServerResponse
const signal: AbortSignal = hangUpOf(response)
const { status, headers }: { status: number; headers: Readonly<Record<string, string>> } =
  toHttpError(signal.reason)
// @ts-expect-error - an answer is read-only
headers['retry-after'] = String(status)
