// Follows single tasks through a flow of one step and notes when they pass, in a process of its own.
import { setTimeout as sleep } from 'node:timers/promises'
import { Flow, FlowStep } from 'aqueduct-ts'
import { StampHandler, StampTask, now } from '../handlers/stamp.ts'
import { plan, serve } from '../harness/orders.ts'
import { median } from '../harness/statistics.ts'
import type { LifeOrder, Stages } from './life-orders.ts'

const WARM_UP_SHARE = 0.3
const LEAST_SAMPLES = 20

const { isolation } = plan() as { readonly isolation: 'process' | 'thread' }
const flow = new Flow([new FlowStep(StampHandler, { isolation })])
await flow.start()

async function follow({ seconds, pauseMs }: LifeOrder): Promise<Stages> {
  const stages: Record<keyof Stages, number[]> = {
    submitUs: [],
    thereUs: [],
    handleUs: [],
    backUs: [],
    totalUs: [],
  }
  const warmUntil = performance.now() + seconds * 1000 * WARM_UP_SHARE
  const until = warmUntil + seconds * 1000
  while (performance.now() < until || stages.totalUs.length < LEAST_SAMPLES) {
    if (pauseMs > 0) await sleep(pauseMs)
    const isWarm = performance.now() >= warmUntil
    const task = new StampTask()
    const begin = now()
    const processing = flow.process(task)
    const submitted = now()
    await processing
    const end = now()
    const { enteredNs, leftNs } = task
    if (!(begin <= enteredNs && enteredNs <= leftNs && leftNs <= end)) {
      throw new Error(`wrong result: ${[begin, submitted, enteredNs, leftNs, end].join(', ')}`)
    }
    if (!isWarm) continue
    // A worker that looks for work may be quicker than process() returns.
    const handedOver = Math.min(submitted, enteredNs)
    stages.submitUs.push((handedOver - begin) / 1e3)
    stages.thereUs.push((enteredNs - handedOver) / 1e3)
    stages.handleUs.push((leftNs - enteredNs) / 1e3)
    stages.backUs.push((end - leftNs) / 1e3)
    stages.totalUs.push((end - begin) / 1e3)
  }
  return Object.fromEntries(
    Object.entries(stages).map(([stage, values]) => [stage, median(values)]),
  ) as unknown as Stages
}

await serve({}, follow, () => flow.stop())
process.exit()
