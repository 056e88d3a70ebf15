import { Flow, FlowStep } from 'aqueduct-ts'
import { EndsHandler, FrameTask, PagesHandler } from '../handlers/frame.ts'
import { makeFrame, sumOfEnds, sumOfPages } from '../harness/frames.ts'
import { rotated } from '../harness/pairs.ts'
import { type Outcome, type Row, type Settings, progress } from '../harness/report.ts'
import { type Pair, latency, median, ratioOf } from '../harness/statistics.ts'

const FRAME_BYTES = 1280 * 960 * 3 * 4
const SMALL_BYTES = 1024
const PLACE_BYTES = [SMALL_BYTES, 64 * 1024, 1024 * 1024, FRAME_BYTES] as const
/** Frames to choose from, so that the next one is not the one that the caches still hold. */
const SOURCES = 4
const WARM_UP_TASKS = 20
const LONG_STEPS = 5

/** What a large payload costs: to hand over once more, and to place at all. */
export async function placing(settings: Settings): Promise<Outcome> {
  const handoff = await measureHandoff(settings)
  const place = await measurePlacing(settings)
  return {
    results: [...handoff.results, ...place.results],
    ratios: { ...handoff.ratios, ...place.ratios },
  }
}

async function startFlow(
  handler: typeof EndsHandler | typeof PagesHandler,
  steps: number,
): Promise<Flow<FrameTask>> {
  const flow = new Flow(
    Array.from({ length: steps }, (_, index) => new FlowStep(handler, { name: `step${index}` })),
  )
  await flow.start()
  return flow
}

/** Calls `act` for so long, with the number of the call. */
async function repeat(seconds: number, act: (count: number) => unknown): Promise<void> {
  const until = performance.now() + seconds * 1000
  for (let count = 0; performance.now() < until; count++) await act(count)
}

/**
 * A step more is the difference of two flows, which cancels everything else. The frame lies in shared memory already,
 * held by an earlier result, so that the noise of copying it does not drown the difference. Frames and small tasks take
 * turns one by one: whether the workers are asleep when a task comes costs more than any payload, and is so the same for
 * both.
 */
async function measureHandoff({ pairs, seconds }: Settings): Promise<Outcome> {
  await using short = await startFlow(EndsHandler, 1)
  await using long = await startFlow(EndsHandler, LONG_STEPS)
  const series = await Promise.all(
    [FRAME_BYTES, SMALL_BYTES].flatMap((bytes) =>
      [short, long].map(async (flow) => {
        const held = await flow.process(new FrameTask(makeFrame(bytes, 1)))
        const roundTrip = roundTripOf(flow, held.frame)
        for (let warmUp = 0; warmUp < WARM_UP_TASKS; warmUp++) await roundTrip()
        return {
          bytes,
          steps: flow === short ? 1 : LONG_STEPS,
          held,
          roundTrip,
          p50s: [] as number[],
        }
      }),
    ),
  )
  const [frameShort, frameLong, smallShort, smallLong] = series

  const perStep: Pair[] = []
  for (let pair = 0; pair < pairs; pair++) {
    for (const steps of rotated([1, LONG_STEPS], pair)) {
      const alternating = series
        .filter((one) => one.steps === steps)
        .map(({ roundTrip, p50s }) => ({ roundTrip, p50s, durations: [] as number[] }))
      await repeat(seconds / 2, async (turn) => {
        for (const { roundTrip, durations } of rotated(alternating, turn)) {
          durations.push(await roundTrip())
        }
      })
      for (const { p50s, durations } of alternating) p50s.push(median(durations))
    }
    const cost = (more: (typeof series)[number], less: (typeof series)[number]): number =>
      (more.p50s.at(-1)! - less.p50s.at(-1)!) / (LONG_STEPS - 1)
    const costs = {
      ours: cost(frameLong!, frameShort!),
      theirs: cost(smallLong!, smallShort!),
    }
    perStep.push(costs)
    progress(
      `handoff: pair ${pair + 1} of ${pairs}: ${(costs.ours * 1000).toFixed(1)} µs per step with a frame, ${(costs.theirs * 1000).toFixed(1)} µs with 1 KiB`,
    )
  }
  for (const { held } of series) held.release()

  const roundTripRows = series.map(({ bytes, steps, p50s }): Row => ({
    name: 'aqueduct/process-handoff',
    payloadBytes: bytes,
    steps,
    inSharedMemory: bytes === FRAME_BYTES,
    p50Us: median(p50s) * 1000,
    p50UsMin: Math.min(...p50s) * 1000,
    p50UsMax: Math.max(...p50s) * 1000,
  }))
  return {
    results: [
      ...roundTripRows,
      perStepRow(
        FRAME_BYTES,
        perStep.map(({ ours }) => ours),
      ),
      perStepRow(
        SMALL_BYTES,
        perStep.map(({ theirs }) => theirs),
      ),
    ],
    ratios: {
      handoff: ratioOf(perStep, 'a further step with a frame over a further step with 1 KiB'),
    },
  }
}

function perStepRow(bytes: number, costs: readonly number[]): Row {
  return {
    name: 'aqueduct/process-per-step',
    payloadBytes: bytes,
    perStepUs: median(costs) * 1000,
    perStepUsMin: Math.min(...costs) * 1000,
    perStepUsMax: Math.max(...costs) * 1000,
  }
}

/** One task with this frame, checked and released; resolves with the milliseconds of its `process()`. */
function roundTripOf(flow: Flow<FrameTask>, frame: Float32Array): () => Promise<number> {
  const expected = sumOfEnds(frame)
  return async () => {
    const task = new FrameTask(frame)
    const begin = performance.now()
    await flow.process(task)
    const duration = performance.now() - begin
    checkSeen(task.seen, expected)
    task.release()
    return duration
  }
}

/** `process()` of a frame in ordinary memory through two steps, beside one copy of it to warm ordinary memory. */
async function measurePlacing({ pairs, seconds, quick }: Settings): Promise<Outcome> {
  await using flow = await startFlow(PagesHandler, 2)
  const rows: Row[] = []
  let framePairs: Pair[] = []
  for (const bytes of quick ? [FRAME_BYTES] : PLACE_BYTES) {
    const sources = Array.from({ length: SOURCES }, (_, seed) => makeFrame(bytes, seed))
    const expected = sources.map(sumOfPages)
    const warm = makeFrame(bytes, 0)
    const copy = (source: number): number => {
      const begin = performance.now()
      warm.set(sources[source]!)
      return performance.now() - begin
    }
    const process = async (source: number): Promise<number> => {
      const task = new FrameTask(sources[source]!)
      const begin = performance.now()
      await flow.process(task)
      const duration = performance.now() - begin
      checkSeen(task.seen, expected[source]!)
      task.release()
      return duration
    }
    for (let warmUp = 0; warmUp < WARM_UP_TASKS; warmUp++) {
      copy(warmUp % SOURCES)
      await process(warmUp % SOURCES)
    }

    const all = { ours: [] as number[], theirs: [] as number[] }
    const medians: Pair[] = []
    for (let pair = 0; pair < pairs; pair++) {
      const ours: number[] = []
      const theirs: number[] = []
      await repeat(bytes === FRAME_BYTES ? seconds : seconds / 4, async (count) => {
        const source = count % SOURCES
        // Whoever comes second finds the source in the cache: they take turns, over all sources.
        const copyFirst = Math.floor(count / SOURCES) % 2 === 0
        if (copyFirst) theirs.push(copy(source))
        ours.push(await process(source))
        if (!copyFirst) theirs.push(copy(source))
      })
      medians.push({ ours: median(ours), theirs: median(theirs) })
      all.ours.push(...ours)
      all.theirs.push(...theirs)
      progress(
        `place: ${bytes} bytes, pair ${pair + 1} of ${pairs}: process() ${(median(ours) * 1000).toFixed(1)} µs, set() ${(median(theirs) * 1000).toFixed(1)} µs`,
      )
    }
    rows.push(
      { name: 'aqueduct/process', payloadBytes: bytes, steps: 2, ...latency(all.ours) },
      { name: 'memory/set', payloadBytes: bytes, steps: 0, ...latency(all.theirs) },
    )
    framePairs = medians // the frame comes last
  }
  return {
    results: rows,
    ratios: { place: ratioOf(framePairs, 'aqueduct/process over memory/set') },
  }
}

function checkSeen(seen: number, expected: number): void {
  if (seen !== expected) throw new Error(`wrong result: the handler read ${seen}, not ${expected}`)
}
