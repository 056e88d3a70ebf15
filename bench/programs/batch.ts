// Tasks that arrive at a constant rate at a model that gains from batches, in a process of its own; or the same behind
// HTTP, for a load from another process.
import { type AddressInfo } from 'node:net'
import { Flow, FlowStep } from 'aqueduct-ts'
import fastify from 'fastify'
import { BatchHandler, BatchTask } from '../handlers/batch.ts'
import { BATCH_SIZE, runModel } from '../harness/batch-model.ts'
import { constantArrivals } from '../harness/constant-arrivals.ts'
import { plan, serve } from '../harness/orders.ts'
import type { BatchOrder, BatchPlan } from './batch-orders.ts'

const { batchTimeout, http } = plan() as BatchPlan
const step = new FlowStep(BatchHandler, { batchSize: BATCH_SIZE, batchTimeout })
const flow = new Flow([step])
await flow.start()

async function act(number: number): Promise<void> {
  const { sum } = await flow.process(new BatchTask(number), { timeout: 30_000 })
  if (sum !== number + 1) throw new Error(`wrong result: ${number} + 1 came back as ${sum}`)
}

/** The model alone, with full batches: what there is to be had. */
function limit(seconds: number): object {
  const numbers = Array.from({ length: BATCH_SIZE }, (_, index) => index)
  const begin = performance.now()
  let items = 0
  while (performance.now() - begin < seconds * 1000) items += runModel(numbers).length
  return { perSecond: (items / (performance.now() - begin)) * 1000 }
}

const app = fastify()
app.post<{ Body: { readonly number: number } }>('/predict', async ({ body }) => {
  const { sum } = await flow.process(new BatchTask(body.number), { timeout: 30_000 })
  return { sum }
})
if (http) await app.listen({ host: '127.0.0.1', port: 0 })
const port = http ? (app.server.address() as AddressInfo).port : 0

await serve(
  { port },
  async (order: BatchOrder) =>
    order.do === 'limit' ? limit(order.seconds) : constantArrivals(act, order),
  async () => {
    await app.close()
    await flow.stop()
  },
)
process.exit()
