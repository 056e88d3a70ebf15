import {
  type EdgeMetrics,
  type FlowMetrics,
  type FlowStats,
  type Histogram,
  differenceOf,
} from '../../index.ts'

export type Named<Value> = readonly (readonly [name: string, value: Value])[]

/**
 * What has been measured in a period, under the names of the StatsD metrics without their prefixes. Names of histograms in
 * which nothing was recorded in the period are left out.
 */
export interface CollectedMetrics {
  /** Milliseconds that a handler took for the batch of a task, per task; `total`: from `process()` to the outcome. */
  readonly handleTimes: Named<Histogram>
  /** Milliseconds on the way, per task. */
  readonly transferTimes: Named<Histogram>
  /** Milliseconds in which a batch was gathered, without the wait for its first task. */
  readonly batchTimes: Named<Histogram>
  /** Tasks of a batch. */
  readonly batchSizes: Named<Histogram>
  /** Bytes of a task. */
  readonly taskSizes: Named<Histogram>
  /** Tasks that wait, one value each time that they were counted. */
  readonly queueSizes: Named<number>
  readonly tasks: { readonly complete: number; readonly timeout: number; readonly cancel: number }
  /** Bytes, one value each time that they were read. */
  readonly memoryUsage: Named<number>
  /** Workers seen alive, each time that they were counted; and those that have died. */
  readonly processes: { readonly running: number; readonly dead: number }
}

const MAIN_PROCESS = 'main_process'

/** What a step is called. The number that tells steps of the same name apart is left out: these names begin with one. */
const stepName = (name: string, number: number): string =>
  `step${number}_${name.replace(/#\d+$/, '').replaceAll(/[^\p{L}\p{N}_$-]/gu, '_')}`

const routeName = (priority: number, from: string, to: string): string =>
  `${priority > 0 ? `p_${priority}_` : ''}from_${from}_to_${to}`

const endNames = ({ steps }: FlowMetrics): ((end: number | 'client') => string) => {
  const names = steps.map(({ name }, index) => stepName(name, index + 1))
  return (end) => (end === 'client' ? MAIN_PROCESS : names[end]!)
}

type TaskTimers = Pick<
  CollectedMetrics,
  'handleTimes' | 'transferTimes' | 'batchTimes' | 'batchSizes' | 'taskSizes'
>

export const noTimers: TaskTimers = {
  handleTimes: [],
  transferTimes: [],
  batchTimes: [],
  batchSizes: [],
  taskSizes: [],
}

/** The histograms of a period: what a reading has more than the one before, if there was one. */
export function periodOf(now: FlowMetrics, before: FlowMetrics | undefined): TaskTimers {
  const nameOf = endNames(now)
  const keyOf = ({ from, to, priority }: EdgeMetrics): string =>
    routeName(priority, nameOf(from), nameOf(to))
  const edgesBefore = new Map(before?.edges.map((edge) => [keyOf(edge), edge]))
  const edges = now.edges.map((edge) => ({ name: keyOf(edge), edge }))
  // Where a batch is one task there is nothing to say of it.
  const batching = now.steps.flatMap(({ batchSize }, index) => (batchSize > 1 ? index : []))
  return {
    handleTimes: recorded([
      ...now.steps.map(
        ({ taskHandleMs }, index) =>
          [nameOf(index), differenceOf(taskHandleMs, before?.steps[index]?.taskHandleMs)] as const,
      ),
      ['total', differenceOf(now.totalMs, before?.totalMs)],
    ]),
    transferTimes: recorded(
      edges.map(({ name, edge }) => [
        name,
        differenceOf(edge.transferMs, edgesBefore.get(name)?.transferMs),
      ]),
    ),
    batchTimes: recorded(
      batching.map((index) => [
        nameOf(index),
        differenceOf(now.steps[index]!.batchMs, before?.steps[index]?.batchMs),
      ]),
    ),
    batchSizes: recorded(
      batching.map((index) => [
        nameOf(index),
        differenceOf(now.steps[index]!.batchTasks, before?.steps[index]?.batchTasks),
      ]),
    ),
    taskSizes: recorded(
      edges.map(({ name, edge }) => [
        name,
        differenceOf(edge.taskBytes, edgesBefore.get(name)?.taskBytes),
      ]),
    ),
  }
}

const recorded = (histograms: Named<Histogram>): Named<Histogram> =>
  histograms.filter(([, { count }]) => count > 0)

/** How many tasks wait in each queue: in front of each step, and at the end for the program. */
export function queueSizes(metrics: FlowMetrics): Named<number> {
  const nameOf = endNames(metrics)
  const queues = [...metrics.steps.map(({ waiting }) => waiting), metrics.finished]
  return queues.flatMap((waiting, index) => {
    const from = nameOf(index === 0 ? 'client' : index - 1)
    const to = nameOf(index === metrics.steps.length ? 'client' : index)
    return waiting.map((tasks, priority) => [routeName(priority, from, to), tasks] as const)
  })
}

/**
 * Memory of the workers of each step, and of all together. A process counts its own memory, once in each sum also where
 * its threads are several workers; the flow's shared memory is added once to that of all.
 */
export function memoryUsage({ steps, workers, memory }: FlowStats): Named<number> {
  const alive = workers.filter(({ rssAnonBytes }) => rssAnonBytes > 0)
  const sumOf = (some: typeof alive): number =>
    [...new Map(some.map(({ pid, rssAnonBytes }) => [pid, rssAnonBytes])).values()].reduce(
      (sum, bytes) => sum + bytes,
      0,
    )
  const ofSteps = steps.flatMap(({ name }, index) => {
    // These are the only names that count steps from 0.
    const label = stepName(name, index)
    const seats = workers.filter(({ step }) => step === name).length
    const own = alive.filter(({ step }) => step === name)
    const each = own.map(({ rssAnonBytes }) => [label, rssAnonBytes] as const)
    return seats === 1 ? each : [...each, [`${label}_nprocs_sum`, sumOf(own)] as const]
  })
  return [...ofSteps, ['all_memory_usage', sumOf(alive) + memory.bytesCommitted]]
}
