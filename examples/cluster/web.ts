/** A web worker: a client of the flow behind HTTP. */
import { FlowClient } from 'aqueduct-ts'
import { serveSums } from '../separate/service.ts'
import { SumTask } from '../sum/sum.ts'

const { FLOW = '', PORT = '8080' } = process.env

const client = new FlowClient({ address: FLOW, task: SumTask })
await client.start()
const close = await serveSums(client, Number(PORT))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => undefined) // the primary says when
process.on('disconnect', () => {
  void close().then(() => process.exit())
})
