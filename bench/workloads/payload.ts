import { rotated } from '../harness/pairs.ts'
import { missingPython } from '../harness/peers.ts'
import { Program } from '../harness/program.ts'
import {
  type Outcome,
  type Row,
  type Settings,
  type Workload,
  goalOf,
  progress,
} from '../harness/report.ts'
import { median, ratioOf } from '../harness/statistics.ts'
import type { FramesOrder, FramesPlan } from '../programs/frames-orders.ts'
import { placing } from './placing.ts'

const KIB = 1024
const MIB = 1024 * KIB
const FRAME_BYTES = 1280 * 960 * 3 * 4
const SIZES = [KIB, 32 * KIB, 256 * KIB, MIB, FRAME_BYTES, 64 * MIB]
const ROUNDS = 3

interface Trip {
  readonly p50Us: number
  readonly p99Us: number
  readonly samples: number
}

interface Way {
  readonly name: string
  readonly program: Program
}

const node = (way: FramesPlan['way']): Promise<Program> =>
  Program.node('frames', { way } satisfies FramesPlan)

/** Frames through two steps, beside every way of moving them; then what placing and handing over cost by themselves. */
async function run(settings: Settings): Promise<Outcome> {
  const { pairs, seconds, quick } = settings
  await using stack = new AsyncDisposableStack()
  const start = async (name: string, starting: Promise<Program>): Promise<Way> => ({
    name,
    program: stack.use(await starting),
  })
  const noPython = missingPython()
  const [mine, original, ...others] = await Promise.all([
    start('aqueduct-ts', node('process')),
    noPython === undefined
      ? start("Avito's Aqueduct", Program.python('frames', {}))
      : Promise.resolve(undefined),
    start('threads, cloned', node('clone')),
    start('threads, transferred', node('transfer')),
    start('processes, IPC', node('ipc')),
    start('aqueduct-ts, threads', node('thread')),
  ])
  const ways = [mine, ...(original === undefined ? [] : [original]), ...others]
  const sizes = quick ? [KIB, FRAME_BYTES] : SIZES
  const found = new Map(ways.map((way) => [way, new Map<number, Trip[]>()]))
  const measure = async (way: Way, bytes: number, share: number): Promise<Trip> => {
    const order: FramesOrder = { bytes, seconds: seconds * share }
    return way.program.ask<Trip>(order)
  }
  for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
    for (const bytes of sizes) {
      progress(`${bytes} bytes: round ${round + 1}`)
      for (const way of rotated(ways, round * 2)) {
        const trips = found.get(way)!
        trips.set(bytes, [...(trips.get(bytes) ?? []), await measure(way, bytes, 0.5)])
      }
    }
  }
  const rows = ways.flatMap((way) =>
    sizes.map((bytes): Row => rowOf(way.name, bytes, found.get(way)!.get(bytes)!, 'rounds')),
  )

  const against: { ours: number; theirs: number }[] = []
  for (let pair = 0; pair < (original === undefined ? 0 : pairs); pair++) {
    const figures = new Map<Way, number>()
    for (const way of rotated([mine, original!], pair))
      figures.set(way, (await measure(way, FRAME_BYTES, 1)).p50Us)
    // How many times faster: theirs over ours.
    against.push({ ours: figures.get(original!)!, theirs: figures.get(mine)! })
    progress(
      `frame: pair ${pair + 1} of ${pairs}: ${[...figures.values()].map((us) => us.toFixed(0)).join(' and ')} µs`,
    )
  }
  const frame =
    against.length === 0 ? undefined : ratioOf(against, "Avito's Aqueduct over aqueduct-ts")
  const alone = await placing(settings)
  return {
    results: [...rows, ...alone.results],
    ratios: { ...(frame === undefined ? {} : { frame }), ...alone.ratios },
    goals: [
      goalOf(
        "A 14.7 MB frame through two steps, times faster than Avito's Aqueduct",
        'at least',
        10,
        frame,
      ),
    ],
    charts: [
      {
        kind: 'lines',
        title: 'Median time through two steps and back, by size',
        better: 'lower',
        x: { label: 'bytes', scale: 'log' },
        y: { label: 'µs', scale: 'log' },
        series: ways.map((way) => ({
          side: way.name,
          points: sizes.map((bytes) => ({
            x: bytes,
            y: median(
              found
                .get(way)!
                .get(bytes)!
                .map(({ p50Us }) => p50Us),
            ),
          })),
        })),
      },
    ],
    missing: noPython === undefined ? [] : [{ name: "Avito's Aqueduct", reason: noPython }],
  }
}

function rowOf(name: string, payloadBytes: number, trips: readonly Trip[], phase: string): Row {
  const medians = trips.map(({ p50Us }) => p50Us)
  return {
    name,
    payloadBytes,
    steps: 2,
    p50Us: median(medians),
    p99Us: median(trips.map(({ p99Us }) => p99Us)),
    p50UsMin: Math.min(...medians),
    p50UsMax: Math.max(...medians),
    samples: trips.reduce((sum, { samples }) => sum + samples, 0),
    measurements: trips.length,
    phase,
  }
}

export const payload: Workload = {
  about: 'frames of 1 KiB to 64 MiB through two steps, beside every way of moving them',
  explained:
    'A frame in ordinary memory goes through two workers that read it one after the other, and back comes an answer. Where it lies in shared memory its size should matter once, at the copy into it, and not at each step.',
  takes: '5 min',
  run,
}
