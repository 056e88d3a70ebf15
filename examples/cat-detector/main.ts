/**
 * What a batch is worth: 20 images at once, through a flow that takes them as one batch and one that takes them one by
 * one. The model takes 10 ms for an image, and 0.7 of that for each image of a batch: 140 ms for the 20 is the ideal.
 *
 *     npm run build && npx node examples/cat-detector/main.ts          # --json for programs
 */
import { strict as assert } from 'node:assert'
import { parseArgs } from 'node:util'
import { Flow, FlowStep } from 'aqueduct-ts'
import { BATCH_FACTOR, CatHandler, CatTask, IMAGE_TIME } from './detector.ts'

const IMAGES = 20
const SIDE = 32 // pixels
const RUNS = 10
const RUNS_ONE_BY_ONE = 3

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } })

/** Milliseconds until all images are through. */
async function timeOf(flow: Flow<CatTask>): Promise<number> {
  const tasks = Array.from({ length: IMAGES }, () => new CatTask(new Uint8Array(3 * SIDE * SIDE)))
  const start = performance.now()
  await Promise.all(tasks.map((task) => flow.process(task)))
  const took = performance.now() - start
  assert(tasks.every(({ isCat }) => isCat))
  return took
}

async function runsOf(batchSize: number, count: number): Promise<number[]> {
  // Waits up to 5 ms for a full batch, and not a moment when it is full at once.
  const flow = new Flow([new FlowStep(CatHandler, { batchSize, batchTimeout: 5 })])
  await flow.start()
  try {
    await timeOf(flow) // to warm up
    const runs: number[] = []
    for (let run = 0; run < count; run++) runs.push(await timeOf(flow))
    return runs
  } finally {
    await flow.stop()
  }
}

function median(runs: readonly number[]): number {
  const sorted = runs.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2
}

const round = (ms: number): number => Math.round(ms * 100) / 100

const runs = await runsOf(IMAGES, RUNS)
const batchMs = round(median(runs))
const oneByOneMs = round(median(await runsOf(1, RUNS_ONE_BY_ONE)))
const idealMs = IMAGES * IMAGE_TIME * BATCH_FACTOR

if (values.json) {
  console.log(JSON.stringify({ batchMs, oneByOneMs, idealMs, runs: runs.map(round) }))
} else {
  console.log(
    `${IMAGES} images in one batch: ${batchMs} ms (ideal ${idealMs} ms, median of ${RUNS} runs)`,
  )
  console.log(`${IMAGES} images one by one:   ${oneByOneMs} ms (ideal ${IMAGES * IMAGE_TIME} ms)`)
}
