/**
 * The smallest service: a model that keeps a core busy for 100 ms, behind HTTP.
 *
 *     npm run build && npx node examples/sum/server.ts
 *     curl http://127.0.0.1:8080/sum -H 'content-type: application/json' -d '{"number":10}'
 *
 * answers `{"result":285}`: 0 + 1 + 4 + … + 81. The model runs in two worker processes, so two requests take 100 ms
 * together, and the web process stays free. A client that hangs up takes its task back; `/health/live` and
 * `/health/ready` say how the service is; Ctrl-C and SIGTERM let it finish what is under way. `PORT` chooses another port.
 */
import { Flow, FlowStep } from 'aqueduct-ts'
import aqueduct from 'aqueduct-ts/fastify'
import Fastify from 'fastify'
import { SumHandler, SumTask } from './sum.ts'

const flow = new Flow([new FlowStep(SumHandler, { nprocs: 2 })])
const app = Fastify()
await app.register(aqueduct, { flow, closeOnSignals: true })

const body = {
  type: 'object',
  required: ['number'],
  properties: { number: { type: 'integer', minimum: 0, maximum: 200_000 } },
}

app.post<{ Body: { number: number } }>('/sum', { schema: { body } }, async (request, reply) => {
  const task = new SumTask(request.body.number)
  const { sum } = await flow.process(task, { signal: reply.hangUp })
  return { result: sum }
})

await flow.start() // the plugin would, but we listen only when it runs
const address = await app.listen({ port: Number(process.env['PORT'] ?? 8080) })
console.log(
  `Send a number: curl ${address}/sum -H 'content-type: application/json' -d '{"number":10}'`,
)
