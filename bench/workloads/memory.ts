import { fork } from 'node:child_process'
import { once } from 'node:events'
import { residentMemory } from '../harness/proc.ts'
import {
  type Outcome,
  type Row,
  type Settings,
  type Workload,
  progress,
} from '../harness/report.ts'
import { slope } from '../harness/statistics.ts'
import type { Finished, Message, Plan } from '../programs/memory-messages.ts'

const PAYLOAD_BYTES = 2 ** 20
const ARENA_BYTES = 256 * 2 ** 20
const IN_FLIGHT = 16
const DRAIN_MS = 60_000
const SAMPLE_EVERY_MS = 200

interface Sample {
  readonly atMs: number
  readonly anonBytes: number
  readonly rssBytes: number
}

/** A process of the program and what was seen of it. */
interface Watched {
  readonly name: string
  readonly pid: number
  readonly samples: Sample[]
}

/** Whether a program that drops its results gets its memory back, and keeps its size. */
async function run({ tasks }: Settings): Promise<Outcome> {
  const plan: Plan = {
    tasks,
    payloadBytes: PAYLOAD_BYTES,
    arenaBytes: ARENA_BYTES,
    inFlight: IN_FLIGHT,
    drainMs: DRAIN_MS,
  }
  progress(`${tasks} tasks of ${PAYLOAD_BYTES} bytes in a program of their own`)
  const { finished, watched } = await runProgram(plan)
  const { drainMs, drainTasks, loadMs, longestMs, ...books } = finished
  const total: Row = {
    name: 'aqueduct/process',
    tasks,
    payloadBytes: PAYLOAD_BYTES,
    steps: 2,
    arenaBytes: ARENA_BYTES,
    inFlight: IN_FLIGHT,
    exposeGc: books.exposeGc,
    tasksPerSecond: (tasks / loadMs) * 1000,
    longestProcessMs: longestMs,
    blocksInUseAfterLastTask: books.blocksAfterLastTask,
    blocksInUse: books.blocksInUse,
    emptiedBy:
      'no call of the program: 50 small tasks without payloads and a rest of 1.5 s, until no block was in use',
    emptiedAfterTasks: drainTasks,
    emptiedAfterMs: drainMs,
  }
  return { results: [total, ...watched.map((each) => rowOf(each, loadMs))], ratios: {} }
}

/** Runs the program in a process of its own and watches its memory from here, so that watching costs it nothing. */
async function runProgram(plan: Plan): Promise<{ finished: Finished; watched: Watched[] }> {
  const program = fork(new URL('../programs/memory.ts', import.meta.url), [JSON.stringify(plan)], {
    execArgv: [],
    stdio: ['ignore', 2, 2, 'ipc'], // what it prints is not a figure
  })
  const exited = once(program, 'exit') as Promise<[code: number | null, signal: string | null]>
  let watched: Watched[] = []
  let finished: Finished | undefined
  let timer: NodeJS.Timeout | undefined
  let begin = 0
  const sample = (): void => {
    for (const { pid, samples } of watched) {
      const memoryNow = residentMemory(pid)
      if (memoryNow !== undefined) samples.push({ atMs: performance.now() - begin, ...memoryNow })
    }
  }
  program.on('message', (message: Message) => {
    if (message.kind === 'started') {
      const parent: Watched = { name: 'aqueduct/parent', pid: program.pid!, samples: [] }
      const workers = message.workers.map(({ step, pid }): Watched => ({
        name: `aqueduct/worker-${step}`,
        pid,
        samples: [],
      }))
      watched = [parent, ...workers]
      begin = performance.now()
      sample()
      timer = setInterval(sample, SAMPLE_EVERY_MS)
    } else {
      clearInterval(timer)
      finished = message
    }
  })
  const [code, signal] = await exited
  clearInterval(timer)
  if (finished === undefined) {
    throw new Error(
      `the program ended with ${signal ?? `exit code ${code}`} before it had finished`,
    )
  }
  return { finished, watched }
}

/** What was seen while tasks with payloads ran. */
function rowOf({ name, samples }: Watched, loadMs: number): Row {
  const loaded = samples.filter(({ atMs }) => atMs <= loadMs)
  const secondHalf = loaded.filter(({ atMs }) => atMs >= loadMs / 2)
  const of = (key: 'anonBytes' | 'rssBytes', title: string): Record<string, unknown> => ({
    [`${title}FirstBytes`]: loaded[0]?.[key],
    [`${title}MiddleBytes`]: loaded[Math.floor(loaded.length / 2)]?.[key],
    [`${title}LastBytes`]: loaded.at(-1)?.[key],
    [`${title}MaxBytes`]: Math.max(...loaded.map((each) => each[key])),
    [`${title}SlopeBytesPerSecond`]: slope(
      secondHalf.map((each) => ({ x: each.atMs / 1000, y: each[key] })),
    ),
  })
  return {
    name,
    seconds: loadMs / 1000,
    samples: loaded.length,
    ...of('anonBytes', 'rssAnon'),
    ...of('rssBytes', 'rss'),
  }
}

export const memory: Workload = {
  about: '20,000 results of 1 MiB that the caller drops: waits, blocks and resident memory',
  explained:
    'A program has 20,000 tasks of 1 MiB handled through 256 MiB of shared memory and never gives a result back by hand. The garbage collector has to do it in time: no task may wait long, and in the end no block may be in use.',
  takes: '1 min',
  run,
}
