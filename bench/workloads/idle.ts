import { setTimeout as sleep } from 'node:timers/promises'
import { Flow, FlowStep } from 'aqueduct-ts'
import { SumHandler, SumTask } from '../handlers/sum.ts'
import { throughput } from '../harness/closed-loop.ts'
import { type ProcessorTime, processorTime } from '../harness/proc.ts'
import {
  type Outcome,
  type Row,
  type Settings,
  type Workload,
  progress,
} from '../harness/report.ts'

const WORKERS = 4
const IN_FLIGHT = 64
const BURST_SECONDS = 1
/** After a start or a burst the engines still compile and collect for a while: that is not idleness. */
const SETTLE_MS = 1000

/** What a flow costs that has nothing to do. */
async function run({ seconds }: Settings): Promise<Outcome> {
  const nothing = await observe('node/nothing', 'nothing started', seconds, [])

  const step = new FlowStep(SumHandler, { nprocs: WORKERS, queueSize: IN_FLIGHT })
  await using flow = new Flow([step])
  await flow.start()
  const workers = flow.stats().workers.map(({ pid }) => pid)
  const untouched = await observe('aqueduct/process', 'started', seconds, workers)

  progress(`a burst of ${BURST_SECONDS} s`)
  const { tasksPerSecond: burst } = await throughput(
    (number) => flow.process(new SumTask(number)),
    IN_FLIGHT,
    BURST_SECONDS,
  )
  const rested = await observe('aqueduct/process', 'after a burst', seconds, workers)
  return {
    results: [nothing, untouched, { ...rested, burstTasksPerSecond: burst }],
    ratios: {},
  }
}

/** Waits with a single timer, so that all processor time that was used in between is the flow's. */
async function observe(
  name: string,
  phase: string,
  seconds: number,
  workers: readonly number[],
): Promise<Row> {
  progress(`${name}, ${phase}: watching for ${seconds} s`)
  await sleep(SETTLE_MS)
  const pids = [process.pid, ...workers]
  const begin = performance.now()
  const before = pids.map(processorTime)
  await sleep(seconds * 1000)
  const wallMs = performance.now() - begin
  const after = pids.map(processorTime)

  const used = (key: keyof ProcessorTime): number[] =>
    after.map((time, index) => time[key] - before[index]![key])
  const ofParent = (key: keyof ProcessorTime): number => used(key)[0]!
  const ofWorkers = (key: keyof ProcessorTime): number => total(used(key).slice(1))
  return {
    name,
    phase,
    workers: workers.length,
    seconds: wallMs / 1000,
    cpuPercent: (total(used('ms')) / wallMs) * 100,
    schedulerCpuPercent: (total(used('schedulerMs')) / wallMs) * 100,
    parentSchedulerCpuMs: ofParent('schedulerMs'),
    workersSchedulerCpuMs: ofWorkers('schedulerMs'),
    parentSleeps: ofParent('sleeps'),
    workersSleeps: ofWorkers('sleeps'),
  }
}

function total(values: readonly number[]): number {
  return values.reduce((sum, each) => sum + each, 0)
}

export const idle: Workload = {
  about: 'processor time of a flow that has nothing to do',
  explained:
    'A flow with four workers is started and left alone, first untouched and then after a burst of traffic. Its processes should sleep: the figure is the share of one core that they use all together.',
  takes: '35 s',
  defaults: { seconds: 10 },
  run,
}
