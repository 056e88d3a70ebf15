/** A web process of its own: it waits for the flow, and finds it again when that was restarted. */
import { FlowClient } from 'aqueduct-ts'
import { SumTask } from '../sum/sum.ts'
import { serveSums } from './service.ts'

const { FLOW = 'sums', PORT = '8080' } = process.env

const client = new FlowClient({ address: FLOW, task: SumTask })
await client.start()
const close = await serveSums(client, Number(PORT))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void close())
