// A web process of the library's own service: attaches to the flow and has tasks processed until it is killed, or told
// that it is enough. Its arguments: the flow's address, and a seed.
import { FlowClient } from '../index.ts'
import { type Scene, keepCalling } from './attempt.ts'
import { BuiltInTask } from './built-in-handlers.ts'
import { builtInService } from './built-in.ts'
import { Ledger } from './ledger.ts'
import { stormPlan } from './plans.ts'
import { Randomness } from './random.ts'
import type { ChaosService } from './service.ts'

/** What a guest tells when it has ended of its own accord. */
export interface GuestReport {
  readonly completed: number
  readonly problems: readonly string[]
}

const IN_FLIGHT = 8

const [address = '', seed = '0'] = process.argv.slice(2)
const nothing = (): void => undefined
const logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
const client = new FlowClient({ address, task: BuiltInTask, logger })
const ledger = new Ledger()
const scene: Scene = {
  service: builtInService() as unknown as ChaosService, // makes and looks at tasks of the client's class
  flow: client as unknown as Scene['flow'],
  ledger,
  latency: undefined,
  seenWorkers: new Set(),
  underWay: new Set(),
  outages: 1, // for all that it knows
  isStormy: true,
}

process.once('disconnect', () => process.exit()) // the storm's program is no more
const enough = new AbortController()
process.once('message', () => enough.abort())

await client.start()
const random = new Randomness(Number(seed)).stream('storm')
const caller = (): Promise<void> =>
  keepCalling(
    scene,
    () => stormPlan(scene.service, random),
    () => enough.signal.aborted,
  )
await Promise.all(Array.from({ length: IN_FLIGHT }, caller))
ledger.compare(client.stats().tasks)
await client.stop()
const report: GuestReport = { completed: ledger.counts.completed, problems: ledger.problems }
process.send?.(report, () => process.disconnect())
