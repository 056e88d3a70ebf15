/** The primary: runs the flow, and keeps the web workers alive. */
import cluster, { type Worker } from 'node:cluster'
import { Flow, FlowStep } from 'aqueduct-ts'
import { SumHandler } from '../sum/sum.ts'

const { WEB = '2' } = process.env

// Under this name the web workers attach. Two services on one machine need two names.
const address = `sum-cluster-${process.pid}`
const flow = new Flow([new FlowStep(SumHandler, { nprocs: 2 })], {
  address,
  maxClients: 2 * Number(WEB), // room for those that replace others
})
await flow.start()

let isStopping = false
const fork = (): Worker => cluster.fork({ FLOW: address })

cluster.on('exit', ({ process: { pid } }, code, signal) => {
  if (isStopping) return
  console.log(`Web worker ${pid} ended with ${signal ?? code}; another one takes its place.`)
  setTimeout(() => isStopping || fork(), 100)
})
let listening = 0
cluster.on('listening', (_worker, { port }) => {
  if (++listening === Number(WEB)) console.log(`Send numbers to http://127.0.0.1:${port}/sum`)
})
for (let web = 0; web < Number(WEB); web++) fork()

async function stop(): Promise<void> {
  if (isStopping) return
  isStopping = true
  await new Promise<void>((resolve) => {
    cluster.disconnect(resolve) // the web workers answer what they have, and end
  })
  await flow.stop()
}
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void stop())
