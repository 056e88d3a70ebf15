// The program that `workloads/memory.ts` watches. It allocates nothing but tasks and drops every result; all else, also
// the watching, happens in the process that started it.
import { setTimeout as sleep } from 'node:timers/promises'
import { Flow, FlowStep } from 'aqueduct-ts'
import { FrameTask, PagesHandler } from '../handlers/frame.ts'
import { makeFrame, sumOfPages } from '../harness/frames.ts'
import type { Finished, Plan, Started } from './memory-messages.ts'

const { tasks, payloadBytes, arenaBytes, inFlight, drainMs }: Plan = JSON.parse(process.argv[2]!)

const DRAIN_BURST = 50
const DRAIN_REST_MS = 1500

const source = makeFrame(payloadBytes, 1)
const expected = sumOfPages(source)
const flow = new Flow(
  ['first', 'second'].map((name) => new FlowStep(PagesHandler, { name })),
  { memory: arenaBytes },
)
await flow.start()
const started: Started = {
  kind: 'started',
  workers: flow.stats().workers.map(({ step, pid }) => ({ step, pid })),
}
process.send!(started)

let left = tasks
let longestMs = 0
const begin = performance.now()
async function submit(): Promise<void> {
  while (left > 0) {
    left--
    const submitted = performance.now()
    const { seen } = await flow.process(new FrameTask(source))
    longestMs = Math.max(longestMs, performance.now() - submitted)
    if (seen !== expected) throw new Error(`wrong result: the handler read ${seen}`)
  }
}
await Promise.all(Array.from({ length: inFlight }, submit))
const loadMs = performance.now() - begin
const blocksAfterLastTask = flow.stats().memory.blocksInUse

// What is dropped comes back when garbage is collected, and nothing here asks for that: a few small tasks, whose fields
// take no blocks, and a rest, as in a program between two requests.
const drainBegin = performance.now()
let drained = 0
const small = new Float32Array(4)
while (flow.stats().memory.blocksInUse > 0 && performance.now() - drainBegin < drainMs) {
  for (let count = 0; count < DRAIN_BURST; count++, drained++) {
    await flow.process(new FrameTask(small))
  }
  await sleep(DRAIN_REST_MS)
}
const finished: Finished = {
  kind: 'finished',
  exposeGc: 'gc' in globalThis,
  loadMs,
  longestMs,
  blocksAfterLastTask,
  blocksInUse: flow.stats().memory.blocksInUse,
  drainTasks: drained,
  drainMs: performance.now() - drainBegin,
}
process.send!(finished)
await flow.stop()
process.disconnect()
