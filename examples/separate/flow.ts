/**
 * A flow on its own: the models stay, while web processes (web.ts) start, stop and are deployed apart from it, as under
 * PM2, systemd or a container's process manager.
 *
 *     npm run build
 *     npx node examples/separate/flow.ts &          # once
 *     PORT=8081 npx node examples/separate/web.ts & # as many as you like
 *     PORT=8082 npx node examples/separate/web.ts &
 *
 * `FLOW` is the name under which they find each other.
 */
import { Flow, FlowStep } from 'aqueduct-ts'
import { SumHandler } from '../sum/sum.ts'

const { FLOW = 'sums' } = process.env

const flow = new Flow([new FlowStep(SumHandler, { nprocs: 2 })], { address: FLOW })
await flow.start()
console.log(`The flow '${FLOW}' runs.`)

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => void flow.stop()) // finishes what the web processes have pending
}
