// Sends frames through two steps that read a byte of each page, in one of several ways, in a process of its own.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { MessageChannel, Worker } from 'node:worker_threads'
import { Flow, FlowStep } from 'aqueduct-ts'
import { FrameTask, PagesHandler } from '../handlers/frame.ts'
import { type Hop, makeFrame, sumOfPages } from '../harness/frames.ts'
import { plan, serve } from '../harness/orders.ts'
import { latency } from '../harness/statistics.ts'
import type { FramesOrder, FramesPlan } from './frames-orders.ts'

/** Frames to choose from, so that the next one is not the one that the caches still hold. */
const SOURCES = 4
const WARM_UP_SHARE = 0.2
const LEAST_SAMPLES = 5
/** The largest frames are few: both steps, their caller and garbage hold some. */
const ARENA_BYTES = 2 ** 30

const STEPS = new URL('../handlers/frame-hop.ts', import.meta.url)

type Frame = Float32Array<ArrayBuffer>

/** A way through both steps: resolves with what the last one read. */
interface Way {
  send(frame: Frame): Promise<{ readonly seen: number; readonly frame: Frame | undefined }>
  close(): Promise<unknown>
}

/** Placed in shared memory once, and released by the caller. */
async function aqueduct(isolation: 'process' | 'thread'): Promise<Way> {
  const flow = new Flow(
    ['first', 'second'].map((name) => new FlowStep(PagesHandler, { name, isolation })),
    { memory: ARENA_BYTES },
  )
  await flow.start()
  return {
    async send(frame) {
      const task = new FrameTask(frame)
      const { seen } = await flow.process(task)
      task.release()
      return { seen, frame: undefined }
    },
    close: () => flow.stop(),
  }
}

/** Two threads in a row: the first hands on to the second without passing through this one. */
function threads(transfer: boolean): Way {
  const [toFirst, toSecond, back] = [0, 1, 2].map(() => new MessageChannel())
  const workers = [
    { from: toFirst!.port2, to: toSecond!.port1 },
    { from: toSecond!.port2, to: back!.port1 },
  ].map(
    ({ from, to }) =>
      new Worker(STEPS, { workerData: { from, to, transfer }, transferList: [from, to] }),
  )
  return {
    async send(frame) {
      const answer = once(back!.port2, 'message') as Promise<[Hop]>
      toFirst!.port1.postMessage({ frame, seen: 0 } satisfies Hop, transfer ? [frame.buffer] : [])
      const [hop] = await answer
      return { seen: hop.seen, frame: transfer ? hop.frame : undefined }
    },
    close: () => Promise.all(workers.map((worker) => worker.terminate())),
  }
}

/** There and back through one of them. */
async function through(child: ChildProcess, frame: Frame): Promise<Hop> {
  const answer = once(child, 'message') as Promise<[Hop]>
  child.send({ frame, seen: 0 } satisfies Hop)
  const [hop] = await answer
  return hop
}

/** Two processes, each over its channel: they cannot reach one another, so the frame comes back in between. */
function processes(): Way {
  const children = [0, 1].map(() => fork(STEPS, { serialization: 'advanced' }))
  return {
    async send(frame) {
      const { frame: handed } = await through(children[0]!, frame)
      return { seen: (await through(children[1]!, handed)).seen, frame: undefined }
    },
    async close() {
      for (const child of children) child.disconnect()
    },
  }
}

async function measure(way: Way, bytes: number, seconds: number): Promise<object> {
  const sources = Array.from({ length: SOURCES }, (_, seed) => makeFrame(bytes, seed))
  const expected = sources.map(sumOfPages)
  const durations: number[] = []
  const warmUntil = performance.now() + seconds * 1000 * WARM_UP_SHARE
  const until = warmUntil + seconds * 1000
  for (let count = 0; performance.now() < until || durations.length < LEAST_SAMPLES; count++) {
    const source = count % SOURCES
    const begin = performance.now()
    const { seen, frame } = await way.send(sources[source]!)
    const end = performance.now()
    if (seen !== expected[source]) {
      throw new Error(`wrong result: the last step read ${seen}, not ${expected[source]}`)
    }
    if (frame !== undefined) sources[source] = frame
    if (begin >= warmUntil) durations.push(end - begin)
  }
  return latency(durations)
}

const { way: name } = plan() as FramesPlan
const way =
  name === 'clone' || name === 'transfer'
    ? threads(name === 'transfer')
    : name === 'ipc'
      ? processes()
      : await aqueduct(name)
await serve(
  {},
  ({ bytes, seconds }: FramesOrder) => measure(way, bytes, seconds),
  async () => way.close(),
)
process.exit()
