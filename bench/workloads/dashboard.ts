import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Flow, FlowStep } from 'aqueduct-ts'
import aqueductDashboard from 'aqueduct-ts/dashboard'
import Fastify from 'fastify'
import { SumHandler, SumTask } from '../handlers/sum.ts'
import { throughput } from '../harness/closed-loop.ts'
import { alternatingPairs } from '../harness/pairs.ts'
import { type Outcome, type Row, type Settings, progress } from '../harness/report.ts'
import { median, ratioOf } from '../harness/statistics.ts'

const IN_FLIGHT = 64
const QUEUE_SIZE = 1024
const WATCHERS = 2
/** Milliseconds after which a flow that nobody watches any more is not sampled any more either. */
const UNTIL_ASLEEP = 4_000

type Call = (number: number) => Promise<SumTask>

/** What a task costs in a flow whose dashboard is watched, and in one that has none. */
export async function dashboard({ pairs, seconds }: Settings): Promise<Outcome> {
  await using stack = new AsyncDisposableStack()
  const open = async (): Promise<Flow<SumTask>> => {
    const flow = stack.use(new Flow([new FlowStep(SumHandler, { queueSize: QUEUE_SIZE })]))
    await flow.start()
    return flow
  }
  const [watched, plain] = [await open(), await open()]
  const app = Fastify()
  stack.defer(() => app.close())
  await app.register(aqueductDashboard, { flow: watched })
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/dashboard/events`
  const usPerTask = async (flow: Flow<SumTask>): Promise<number> => {
    const call: Call = (number) => flow.process(new SumTask(number))
    const { tasksPerSecond } = await throughput(call, IN_FLIGHT, seconds)
    return 1e6 / tasksPerSecond
  }
  const measureWatched = async (): Promise<number> => {
    const watchers = Array.from({ length: WATCHERS }, () =>
      fork(new URL('../programs/watcher.ts', import.meta.url), [url]),
    )
    await Promise.all(watchers.map((watcher) => once(watcher, 'message')))
    const figure = await usPerTask(watched)
    await Promise.all(
      watchers.map((watcher) => {
        watcher.kill()
        return once(watcher, 'close')
      }),
    )
    await delay(UNTIL_ASLEEP)
    return figure
  }
  // Both have to be compiled before either counts.
  await measureWatched()
  await usPerTask(plain)
  const measured = await alternatingPairs(
    pairs,
    measureWatched,
    () => usPerTask(plain),
    (pair, ours, theirs) =>
      progress(
        `dashboard: pair ${pair + 1} of ${pairs}: ${ours.toFixed(3)} and ${theirs.toFixed(3)} µs per task`,
      ),
  )
  return {
    results: [
      row(
        'watched',
        measured.map(({ ours }) => ours),
      ),
      row(
        'no-dashboard',
        measured.map(({ theirs }) => theirs),
      ),
    ],
    ratios: { watching: ratioOf(measured, 'aqueduct/watched over aqueduct/no-dashboard') },
  }
}

const row = (name: string, figures: readonly number[]): Row => ({
  name: `aqueduct/${name}`,
  inFlight: IN_FLIGHT,
  usPerTask: median(figures),
  usPerTaskMin: Math.min(...figures),
  usPerTaskMax: Math.max(...figures),
  measurements: figures.length,
})
