// Drives one way of having the sum task done elsewhere, in a process of its own.
import { roundTrips, throughput } from '../harness/closed-loop.ts'
import { plan, serve } from '../harness/orders.ts'
import { residentMemory } from '../harness/proc.ts'
import { latency } from '../harness/statistics.ts'
import type { SideModule, SidePlan } from '../sides/side.ts'
import type { Opened, SumOrder } from './sum-orders.ts'

const setUp = plan() as SidePlan
const { steps } = setUp
const side = (await import(`../sides/${setUp.side}.ts`)) as SideModule

const begin = performance.now()
const opened = await side.open(setUp)
const { call, workers = [] } = opened
await call(0)
const readyMs = performance.now() - begin

const ownBytes = (): number => residentMemory(process.pid)!.anonBytes

const ready: Opened = { pid: process.pid, workers, readyMs }

/** The memory that tasks take while all of them wait, counted when their caller has made them and before any is done. */
async function pendingMemory(pending: number): Promise<object> {
  const idleBytes = ownBytes()
  const results = Array.from({ length: pending }, (_, number) => call(number))
  const bytesPerPending = (ownBytes() - idleBytes) / pending
  await Promise.all(results)
  return { bytesPerPending, idleBytes }
}

await serve(
  ready,
  async (order: SumOrder): Promise<object> => {
    if (order.do === 'pending') return pendingMemory(order.pending)
    if (order.do === 'throughput') return throughput(call, order.inFlight, order.seconds, steps)
    return latency(await roundTrips(call, order.seconds, { ...order, steps }))
  },
  () => opened.close(),
)
process.exit()
