import { type ChildProcess, fork } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Flow, FlowStep } from 'aqueduct-ts'
import { PageHandler } from '../handlers/page.ts'
import { alternatingPairs } from '../harness/pairs.ts'
import {
  type Outcome,
  type Row,
  type Settings,
  type Workload,
  progress,
} from '../harness/report.ts'
import { median, ratioOf } from '../harness/statistics.ts'
import type { Measure, WebMessage, WebPlan } from '../programs/web-messages.ts'

const IN_FLIGHT = 16
const PAYLOAD_BYTES = 64 * 1024
const BATCH_SIZE = 32
/** How long a batch takes where the death of a web process is looked at. */
const BATCH_MS = 5

const nothing = (): void => undefined

type Measured = WebMessage & { readonly kind: 'measured' }

/** A web process, attached to the flow. */
class Web {
  readonly process: ChildProcess

  private constructor(child: ChildProcess) {
    this.process = child
  }

  static async start(plan: WebPlan): Promise<Web> {
    const program = new URL('../programs/web.ts', import.meta.url)
    const child = fork(program, [JSON.stringify(plan)])
    await once(child, 'message')
    return new Web(child)
  }

  /** Works for so long. */
  async measure(seconds: number): Promise<Measured> {
    const order: Measure = { seconds }
    this.process.send(order)
    const [message] = (await once(this.process, 'message')) as [Measured]
    return message
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL')
    await once(this.process, 'exit')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    this.process.disconnect()
    await once(this.process, 'exit')
  }
}

/** One flow with one worker, and one or two web processes that have more to do than it has. */
async function run({ pairs, seconds }: Settings): Promise<Outcome> {
  const address = `bench-${process.pid}`
  await using flow = new Flow([new FlowStep(PageHandler, { batchSize: BATCH_SIZE })], { address })
  await flow.start()
  const plan: WebPlan = { address, inFlight: IN_FLIGHT, payloadBytes: PAYLOAD_BYTES }
  await using first = await Web.start(plan)
  await using second = await Web.start(plan)
  for (const web of [first, second]) await web.measure(seconds) // to warm up

  const both = async (): Promise<number> => {
    const rates = await Promise.all([first.measure(seconds), second.measure(seconds)])
    return sumOf(rates)
  }
  const one = async (): Promise<number> => sumOf([await first.measure(seconds)])
  const measured = await alternatingPairs(pairs, both, one, (pair, two, single) =>
    progress(
      `pair ${pair + 1} of ${pairs}: ${two.toFixed(0)} tasks/s with two web processes, ${single.toFixed(0)} with one`,
    ),
  )
  const parameters = {
    inFlightPerWeb: IN_FLIGHT,
    payloadBytes: PAYLOAD_BYTES,
    workers: 1,
    batchSize: BATCH_SIZE,
  }
  const row = (webs: number, rates: readonly number[]): Row => ({
    name: 'aqueduct/clients',
    webProcesses: webs,
    tasksPerSecond: median(rates),
    tasksPerSecondMin: Math.min(...rates),
    tasksPerSecondMax: Math.max(...rates),
    measurements: rates.length,
    ...parameters,
  })
  const results = [
    row(
      1,
      measured.map(({ theirs }) => theirs),
    ),
    row(
      2,
      measured.map(({ ours }) => ours),
    ),
    await killed(seconds),
  ]
  return {
    results,
    ratios: { secondProcess: ratioOf(measured, 'two web processes over one') },
  }
}

/** One of two web processes is killed in the middle of its work: here the flow is the bottleneck, so that tasks wait. */
async function killed(seconds: number): Promise<Row> {
  progress('one of two web processes is killed in the middle of its work')
  const address = `bench-${process.pid}-killed`
  const log = new EventEmitter<{ detached: [] }>()
  const info = (_data: object, message: string): void => {
    if (message.endsWith('no more')) log.emit('detached')
  }
  await using flow = new Flow(
    [new FlowStep(PageHandler, { batchSize: BATCH_SIZE, args: [BATCH_MS] })],
    { address, logger: { debug: nothing, info, warn: nothing, error: nothing } },
  )
  await flow.start()
  const plan: WebPlan = { address, inFlight: IN_FLIGHT, payloadBytes: PAYLOAD_BYTES }
  await using other = await Web.start(plan)
  await using victim = await Web.start(plan)
  const before = await Promise.all([other.measure(seconds), victim.measure(seconds)])
  const meanwhile = other.measure(seconds)
  victim.measure(10 * seconds).catch(nothing)
  await sleep((seconds * 1000) / 2)
  const detached = once(log, 'detached', { signal: AbortSignal.timeout(10_000) })
  const killedAt = performance.now()
  await victim.kill()
  await detached
  const recoveredMs = performance.now() - killedAt
  const rates = [await meanwhile, await other.measure(seconds)]
  const { tasks, memory } = flow.stats()
  return {
    name: 'aqueduct/client-killed',
    cancelled: tasks.cancelled,
    recoveredAfterMs: recoveredMs,
    pendingAfterwards: tasks.pending,
    blocksInUseAfterwards: memory.blocksInUse,
    failedOfTheOther: rates.reduce((sum, { failed }) => sum + failed, 0),
    tasksPerSecondOfTheOtherBefore: before[0].tasksPerSecond,
    tasksPerSecondOfTheOtherMeanwhile: rates[0]!.tasksPerSecond,
    tasksPerSecondOfTheOtherAfterwards: rates[1]!.tasksPerSecond,
    batchMs: BATCH_MS,
  }
}

const sumOf = (rates: readonly Measured[]): number =>
  rates.reduce((sum, { tasksPerSecond }) => sum + tasksPerSecond, 0)

export const cluster: Workload = {
  about: 'one flow with one and with two web processes, and one of them killed',
  explained:
    'Web processes that parse and answer JSON share one flow, where they and not the model are the bottleneck. A second one should bring nearly twice the throughput, and killing one must not cost the other a single task.',
  takes: '1 min',
  run,
}
