import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { peakResidentBytes, residentMemory } from '../harness/proc.ts'
import {
  type Outcome,
  type Ratio,
  type Row,
  type Settings,
  type Workload,
  progress,
} from '../harness/report.ts'
import { median, ratioOf } from '../harness/statistics.ts'
import type {
  Ending,
  Listening,
  LoadPlan,
  Route,
  Sent,
  ServerPlan,
} from '../programs/upload-messages.ts'

const MIB = 2 ** 20
const BODIES = [1 * MIB, 16 * MIB, 64 * MIB]
const AT_ONCE = 16
/** Each measurement sends as much in all, so that there is as much garbage for the collector in each. */
const TRAFFIC_BYTES = 2048 * MIB
const QUICK_TRAFFIC_BYTES = 64 * MIB
const ROUTES: readonly Route[] = ['share-from', 'share-from-chunked', 'buffer']
/** All bodies that are there at once fit into the three quarters that admission may take: nobody waits for memory. */
const ARENA_BYTES = 2 * AT_ONCE * 64 * MIB
const SAMPLE_EVERY_MS = 5

/** What one server needed for bodies of one size. */
interface Measurement {
  readonly idleAnonBytes: number
  readonly peakAnonBytes: number
  readonly idleRssBytes: number
  readonly peakRssBytes: number
  readonly peakWorkerAnonBytes: number
  readonly samples: number
  readonly bytesPerSecond: number
  readonly medianMs: number
  readonly blocksInUse: number
}

/** The memory of a web process that takes large bodies: into shared memory as they arrive, and into buffers. */
async function run({ pairs, quick }: Settings): Promise<Outcome> {
  const found = new Map<string, Measurement[]>()
  const bodies = quick ? BODIES.slice(0, 1) : BODIES
  const traffic = quick ? QUICK_TRAFFIC_BYTES : TRAFFIC_BYTES
  const of = (route: Route, bytes: number): Measurement[] => {
    const key = `${route} ${bytes}`
    if (!found.has(key)) found.set(key, [])
    return found.get(key)!
  }
  for (let pair = 0; pair < pairs; pair++) {
    for (const bytes of bodies) {
      for (const route of pair % 2 === 0 ? ROUTES : ROUTES.toReversed()) {
        progress(`${route}, ${bytes / MIB} MiB, ${pair + 1} of ${pairs}`)
        of(route, bytes).push(await measure(route, bytes, traffic))
      }
    }
  }
  const results = ROUTES.flatMap((route) =>
    bodies.map((bytes) => rowOf(route, bytes, of(route, bytes), traffic)),
  )
  return { results, ratios: Object.fromEntries(ratiosOf(of, bodies)) }
}

const ratio = (ours: readonly number[], theirs: readonly number[], what: string): Ratio =>
  ratioOf(
    ours.map((each, index) => ({ ours: each, theirs: theirs[index]! })),
    what,
  )

function* ratiosOf(
  of: (route: Route, bytes: number) => readonly Measurement[],
  bodies: readonly number[],
): Generator<[string, Ratio]> {
  const grown = (route: Route, bytes: number): number[] =>
    of(route, bytes).map(({ idleAnonBytes, peakAnonBytes }) => peakAnonBytes - idleAnonBytes)
  const [smallest, largest] = [bodies[0]!, bodies.at(-1)!]
  for (const route of ROUTES) {
    yield [
      `growth/${route}`,
      ratio(
        grown(route, largest),
        grown(route, smallest),
        `RssAnon above idle with bodies of ${largest / MIB} MiB over that with ${smallest / MIB} MiB`,
      ),
    ]
  }
  for (const bytes of bodies) {
    yield [
      `anon/${bytes / MIB}MiB`,
      ratio(
        grown('share-from', bytes),
        grown('buffer', bytes),
        `RssAnon above idle of share-from over that of buffer, bodies of ${bytes / MIB} MiB`,
      ),
    ]
  }
}

function rowOf(
  route: Route,
  bodyBytes: number,
  measurements: readonly Measurement[],
  traffic: number,
): Row {
  const middle = (key: keyof Measurement): number => median(measurements.map((each) => each[key]))
  return {
    name: route === 'buffer' ? 'fastify/buffer' : `aqueduct/${route}`,
    bodyBytes,
    atOnce: AT_ONCE,
    requests: traffic / bodyBytes,
    measurements: measurements.length,
    anonIdleBytes: middle('idleAnonBytes'),
    anonPeakBytes: middle('peakAnonBytes'),
    anonGrowthBytes: median(
      measurements.map(({ idleAnonBytes, peakAnonBytes }) => peakAnonBytes - idleAnonBytes),
    ),
    rssIdleBytes: middle('idleRssBytes'),
    rssPeakBytes: middle('peakRssBytes'),
    workerAnonPeakBytes: middle('peakWorkerAnonBytes'),
    bytesPerSecond: middle('bytesPerSecond'),
    medianMs: middle('medianMs'),
    blocksInUse: Math.max(...measurements.map(({ blocksInUse }) => blocksInUse)),
    samples: Math.min(...measurements.map(({ samples }) => samples)),
  }
}

/** The server in a process of its own, the sender in another, and the watching here: neither costs the server anything. */
async function measure(route: Route, bodyBytes: number, traffic: number): Promise<Measurement> {
  const maxBytes = bodyBytes
  const plan: ServerPlan = { route, arenaBytes: ARENA_BYTES, maxBytes }
  const server = start('upload-server.ts', plan)
  const { port, workers } = await message<Listening>(server)
  const pid = server.pid!
  // What is compiled and loaded once is not part of it.
  await load({ port, bodyBytes: MIB, requests: 32, atOnce: 2, chunked: false })
  const idle = residentMemory(pid)!
  let peakAnonBytes = 0
  let peakWorkerAnonBytes = 0
  let samples = 0
  const timer = setInterval(() => {
    samples++
    peakAnonBytes = Math.max(peakAnonBytes, residentMemory(pid)?.anonBytes ?? 0)
    for (const worker of workers)
      peakWorkerAnonBytes = Math.max(peakWorkerAnonBytes, residentMemory(worker)?.anonBytes ?? 0)
  }, SAMPLE_EVERY_MS)
  const sent = await load({
    port,
    bodyBytes,
    requests: traffic / bodyBytes,
    atOnce: AT_ONCE,
    chunked: route === 'share-from-chunked',
  })
  clearInterval(timer)
  const peakRssBytes = peakResidentBytes(pid)
  const exited = once(server, 'exit')
  server.send('end')
  const { blocksInUse } = await message<Ending>(server)
  await exited
  return {
    idleAnonBytes: idle.anonBytes,
    peakAnonBytes,
    idleRssBytes: idle.rssBytes,
    peakRssBytes,
    peakWorkerAnonBytes,
    samples,
    bytesPerSecond: (traffic * 1000) / sent.totalMs,
    medianMs: median(sent.durationsMs),
    blocksInUse,
  }
}

async function load(plan: LoadPlan): Promise<Sent> {
  const sender = start('upload-load.ts', plan)
  const exited = once(sender, 'exit')
  const sent = await message<Sent>(sender)
  await exited
  return sent
}

/** Runs a program in a process of its own; what it prints is not a figure. */
function start(program: string, plan: ServerPlan | LoadPlan): ChildProcess {
  return fork(new URL(`../programs/${program}`, import.meta.url), [JSON.stringify(plan)], {
    execArgv: [],
    stdio: ['ignore', 2, 2, 'ipc'],
  })
}

/** The next message of a program; its end before that is an error. */
function message<Message>(program: ChildProcess): Promise<Message> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null, signal: string | null): void =>
      reject(new Error(`a program ended with ${signal ?? `exit code ${code}`} before it was done`))
    program.once('exit', onExit)
    program.once('message', (received: Message) => {
      program.off('exit', onExit)
      resolve(received)
    })
  })
}

export const upload: Workload = {
  about: 'memory of a web process that takes large bodies, against a route that buffers them',
  explained:
    'A web process takes bodies of 1 to 64 MiB, 16 at a time, straight into shared memory or into buffers as Fastify does. What it needs of its own memory meanwhile should not grow with the bodies.',
  takes: '10 min',
  defaults: { pairs: 3 },
  run,
}
