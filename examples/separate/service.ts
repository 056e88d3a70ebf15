/** The service of examples/sum for a client of a flow. */
import type { FlowClient } from 'aqueduct-ts'
import aqueduct from 'aqueduct-ts/fastify'
import Fastify from 'fastify'
import { SumTask } from '../sum/sum.ts'

const body = {
  type: 'object',
  required: ['number'],
  properties: { number: { type: 'integer', minimum: 0, maximum: 200_000 } },
}

/** Listens, and returns what ends it: requests under way are answered first. */
export async function serveSums(
  client: FlowClient<SumTask>,
  port: number,
): Promise<() => Promise<void>> {
  const app = Fastify()
  // While the flow is away, `/health/ready` and the routes say 503; the plugin stops the client with the application.
  await app.register(aqueduct, { flow: client })
  app.post<{ Body: { number: number } }>('/sum', { schema: { body } }, async (request, reply) => {
    const task = new SumTask(request.body.number)
    const { sum } = await client.process(task, { signal: reply.hangUp })
    return { result: sum, pid: process.pid }
  })
  const address = await app.listen({ port })
  console.log(`Send numbers to ${address}/sum`)
  return () => app.close()
}
