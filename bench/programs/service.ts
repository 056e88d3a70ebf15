// A web server with a route that asks a network and one that has nothing to do with it, in one of several ways.
import { type AddressInfo } from 'node:net'
import { Flow, FlowStep } from 'aqueduct-ts'
import aqueduct from 'aqueduct-ts/fastify'
import Fastify from 'fastify'
import { Piscina } from 'piscina'
import { PredictHandler, PredictTask } from '../handlers/predict.ts'
import { plan, serve } from '../harness/orders.ts'
import { Network, type Prediction } from '../models/network.ts'
import type { ServicePlan, ServiceReady } from './service-plan.ts'

const { way, network: networkPlan, workers, batchSize, spin } = plan() as ServicePlan
const app = Fastify()
app.addContentTypeParser(
  'application/octet-stream',
  { parseAs: 'buffer' },
  (_request, body, done) => done(null, body),
)
app.get('/light', async () => ({ light: true }))

/** Each way of having a body predicted; the rest of the server is the same. */
const ways: Record<ServicePlan['way'], () => Promise<(body: Buffer) => Promise<Prediction>>> = {
  async plain() {
    const network = await Network.load(networkPlan)
    return async (body) => {
      const [prediction] = await network.predict([body])
      return prediction!
    }
  },
  async piscina() {
    const pool = new Piscina<{ readonly body: Buffer }, Prediction>({
      filename: new URL('../handlers/predict-piscina.ts', import.meta.url).href,
      workerData: networkPlan,
      minThreads: workers,
      maxThreads: workers,
      maxQueue: Infinity,
      recordTiming: false,
    })
    app.addHook('onClose', () => pool.destroy())
    return (body) => {
      // A body with memory of its own need not be copied.
      const owns = body.byteLength === body.buffer.byteLength
      return pool.run({ body }, owns ? { transferList: [body.buffer as ArrayBuffer] } : {})
    }
  },
  async aqueduct() {
    const step = new FlowStep(PredictHandler, { args: [networkPlan], nprocs: workers, batchSize })
    const flow = new Flow([step], spin === undefined ? {} : { spin })
    await app.register(aqueduct, { flow })
    // The server listens while its flow starts.
    started = new Promise((resolve) => {
      flow.on('state', (state) => {
        if (state === 'running') resolve(flow.stats().workers.map(({ pid }) => pid))
      })
    })
    return async (body) => {
      using task = new PredictTask(body)
      const { index, score } = await flow.process(task)
      return { index, score }
    }
  },
}

/** Processes beside this one, when they are ready. */
let started: Promise<readonly number[]> = Promise.resolve([])
const predict = await ways[way]()
app.post<{ Body: Buffer }>('/predict', ({ body }) => predict(body))
await app.listen({ host: '127.0.0.1', port: 0 })
const ready: ServiceReady = {
  port: (app.server.address() as AddressInfo).port,
  workers: await started,
}
await serve(
  ready,
  async () => ({}),
  async () => app.close(),
)
process.exit()
