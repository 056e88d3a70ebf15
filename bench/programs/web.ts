// A web process of the cluster workload, without the HTTP: per task it does what a route does, then has it processed.
import { FlowClient } from 'aqueduct-ts'
import { PageTask } from '../handlers/page.ts'
import type { Measure, WebMessage, WebPlan } from './web-messages.ts'

const { address, inFlight, payloadBytes }: WebPlan = JSON.parse(process.argv[2]!)

/** A request's body as text: five hundred records, some 27 KB. */
const body = JSON.stringify(
  Array.from({ length: 500 }, (_, id) => ({ id, name: `record ${id}`, value: id / 7 })),
)
const payload = new Uint8Array(payloadBytes).fill(1)
const say = (message: WebMessage): void => void process.send!(message)

const client = new FlowClient({ address, task: PageTask })
await client.start()
let failed = 0

async function serve(number: number): Promise<void> {
  const records = JSON.parse(body) as { value: number }[]
  using task = new PageTask(number, payload)
  try {
    const { sum } = await client.process(task)
    if (sum !== number + 1) throw new Error(`wrong result: ${sum}`)
    JSON.stringify({ sum, records })
  } catch {
    failed++
  }
}

process.on('message', ({ seconds }: Measure) => {
  void (async () => {
    const begin = performance.now()
    const until = begin + seconds * 1000
    failed = 0
    let finished = 0
    const loop = async (): Promise<void> => {
      for (; performance.now() < until; finished++) await serve(finished)
    }
    await Promise.all(Array.from({ length: inFlight }, loop))
    const tasksPerSecond = (finished / (performance.now() - begin)) * 1000
    say({ kind: 'measured', tasksPerSecond, failed })
  })()
})
process.on('disconnect', () => void client.stop())
say({ kind: 'attached' })
