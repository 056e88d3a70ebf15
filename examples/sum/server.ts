/**
 * The smallest service: a model that keeps a core busy for 100 ms, behind HTTP.
 *
 *     npm run build && npx node examples/sum/server.ts
 *     curl http://127.0.0.1:8080/sum -H 'content-type: application/json' -d '{"number":10}'
 *
 * answers `{"result":285}`: 0 + 1 + 4 + … + 81. The model runs in two worker processes, so two requests take 100 ms
 * together, and the web process stays free. `PORT` chooses another port. How a client that hangs up cancels its
 * task and how a service reports its health: see examples/digits.
 */
import Fastify from 'fastify'
import { Flow, FlowStep } from 'aqueduct-ts'
import { sendError } from '../digits/http-errors.ts'
import { SumHandler, SumTask } from './sum.ts'

const flow = new Flow([new FlowStep(SumHandler, { nprocs: 2 })])
const app = Fastify()

const body = {
  type: 'object',
  required: ['number'],
  properties: { number: { type: 'integer', minimum: 0, maximum: 200_000 } },
}

app.route<{ Body: { number: number } }>({
  method: 'POST',
  url: '/sum',
  schema: { body },
  handler: async (request) => {
    const { sum } = await flow.process(new SumTask(request.body.number))
    return { result: sum }
  },
})

app.setErrorHandler((error, _request, reply) => sendError(error, reply))
app.addHook('onClose', () => flow.stop())
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void app.close())

await flow.start()
const address = await app.listen({ port: Number(process.env['PORT'] ?? 8080) })
console.log(
  `Send a number: curl ${address}/sum -H 'content-type: application/json' -d '{"number":10}'`,
)
