import { roundTrips, throughput } from '../harness/closed-loop.ts'
import { alternatingPairs, rotated } from '../harness/pairs.ts'
import { type Outcome, type Ratio, type Row, type Settings, progress } from '../harness/report.ts'
import { latency, median, ratioOf } from '../harness/statistics.ts'
import { aqueduct } from '../targets/aqueduct.ts'
import { type Atomics, piscina } from '../targets/piscina.ts'
import type { Target } from '../targets/target.ts'

const IN_FLIGHT = [64, 512] as const
/** At least what is in flight, so that no task waits for room in the queue. */
const QUEUE_SIZE = 1024
const CALIBRATION_ROUNDS = 3
/** Share of `--seconds` that a measurement of the calibration takes. */
const CALIBRATION_SHARE = 0.4
/** The difference that metrics make is smaller than what a second does to the machine: many short measurements for few long ones. */
const SLICES = 4
const ATOMICS: readonly Atomics[] = ['sync', 'async', 'disabled']

/** What is compared: `measure` gives the figures of a row, `figure` names the one that decides. */
interface Contest {
  readonly ratio: string
  readonly inFlight: number
  readonly figure: 'tasksPerSecond' | 'p50Us'
  readonly better: 'higher' | 'lower'
  readonly measure: (target: Target, seconds: number) => Promise<Figures>
}

type Figures = Readonly<Record<string, number>>

const contests: readonly Contest[] = [
  ...IN_FLIGHT.map((inFlight) => ({
    ratio: `throughput${inFlight}`,
    inFlight,
    figure: 'tasksPerSecond' as const,
    better: 'higher' as const,
    measure: async ({ call }: Target, seconds: number) => ({
      tasksPerSecond: await throughput(call, inFlight, seconds),
    }),
  })),
  {
    ratio: 'roundTrip',
    inFlight: 1,
    figure: 'p50Us',
    better: 'lower',
    measure: async ({ call }, seconds) => latency(await roundTrips(call, seconds)),
  },
]

/** Small tasks through one worker and back, against piscina in the best of its modes. */
export async function dispatch({ pairs, seconds }: Settings): Promise<Outcome> {
  await using stack = new AsyncDisposableStack()
  const open = (target: Target): Target => stack.adopt(target, () => target.close())
  const ours = open(await aqueduct('process', { queueSize: QUEUE_SIZE }))
  const others = [
    open(await aqueduct('thread', { queueSize: QUEUE_SIZE, isolation: 'thread' })),
    open(await aqueduct('process-batch-16', { queueSize: QUEUE_SIZE, batchSize: 16 })),
    open(await aqueduct('process-default-queue', {})),
  ]
  const peers = ATOMICS.flatMap((atomics) =>
    [1, 16].map((concurrency) => open(piscina(atomics, concurrency))),
  )

  const rows: Row[] = []
  const ratios: Record<string, Ratio> = {}
  for (const contest of contests) {
    const targets = [ours, ...others, ...peers]
    const calibrated = await calibrate(contest, targets, seconds * CALIBRATION_SHARE)
    const best = bestOf(contest, peers, calibrated)
    progress(`${contest.ratio}: the best of piscina's modes is ${best.name}`)

    const measured = await alternatingPairs(
      pairs,
      () => contest.measure(ours, seconds),
      () => contest.measure(best, seconds),
      (pair, mine, theirs) =>
        progress(
          `${contest.ratio}: pair ${pair + 1} of ${pairs}: ${contest.figure} ${mine[contest.figure]!.toFixed(1)} and ${theirs[contest.figure]!.toFixed(1)}`,
        ),
    )
    ratios[contest.ratio] = ratioOf(
      measured.map((pair) => ({
        ours: pair.ours[contest.figure]!,
        theirs: pair.theirs[contest.figure]!,
      })),
      `${ours.name} over ${best.name}`,
    )
    for (const target of targets) {
      const figures =
        target === ours
          ? measured.map((pair) => pair.ours)
          : target === best
            ? measured.map((pair) => pair.theirs)
            : calibrated.get(target)!
      rows.push(rowOf(contest, target, figures, target === ours || target === best))
    }
  }
  const metrics = await metricsOnAndOff(pairs, seconds)
  return { results: [...rows, ...metrics.results], ratios: { ...ratios, ...metrics.ratios } }
}

/** What a task costs with metrics on and with metrics off. */
async function metricsOnAndOff(pairs: number, seconds: number): Promise<Outcome> {
  await using stack = new AsyncDisposableStack()
  const open = async (name: string, metrics: boolean): Promise<Target> =>
    stack.adopt(await aqueduct(name, { queueSize: QUEUE_SIZE }, { metrics }), (it) => it.close())
  const on = await open('metrics-on', true)
  const off = await open('metrics-off', false)
  const inFlight = IN_FLIGHT[0]
  const measure = async ({ call }: Target): Promise<Figures> => ({
    usPerTask: 1e6 / (await throughput(call, inFlight, seconds / SLICES)),
  })
  // Both have to be compiled before either counts.
  for (const target of [on, off]) await measure(target)
  const measured = await alternatingPairs(
    pairs * SLICES,
    () => measure(on),
    () => measure(off),
    (pair, ours, theirs) =>
      progress(
        `metrics: pair ${pair + 1} of ${pairs * SLICES}: ${ours['usPerTask']!.toFixed(3)} and ${theirs['usPerTask']!.toFixed(3)} µs per task`,
      ),
  )
  const row = (target: Target, figures: readonly Figures[]): Row =>
    rowOf({ inFlight, figure: 'usPerTask' }, target, figures, true)
  return {
    results: [
      row(
        on,
        measured.map(({ ours }) => ours),
      ),
      row(
        off,
        measured.map(({ theirs }) => theirs),
      ),
    ],
    ratios: {
      metrics: ratioOf(
        measured.map(({ ours, theirs }) => ({
          ours: ours['usPerTask']!,
          theirs: theirs['usPerTask']!,
        })),
        `${on.name} over ${off.name}`,
      ),
    },
  }
}

/** A short look at every target, in several rounds, so that a disturbance of the machine does not decide. */
async function calibrate(
  { ratio, measure }: Contest,
  targets: readonly Target[],
  seconds: number,
): Promise<ReadonlyMap<Target, readonly Figures[]>> {
  const figures = new Map(targets.map((target): [Target, Figures[]] => [target, []]))
  for (let round = 0; round < CALIBRATION_ROUNDS; round++) {
    progress(`${ratio}: calibration, round ${round + 1} of ${CALIBRATION_ROUNDS}`)
    for (const target of rotated(targets, round * 3))
      figures.get(target)!.push(await measure(target, seconds))
  }
  return figures
}

function bestOf(
  { figure, better }: Contest,
  peers: readonly Target[],
  figures: ReadonlyMap<Target, readonly Figures[]>,
): Target {
  const sign = better === 'higher' ? 1 : -1
  const score = (peer: Target): number =>
    sign * median(figures.get(peer)!.map((each) => each[figure]!))
  return peers.reduce((best, peer) => (score(peer) > score(best) ? peer : best))
}

/** Medians over the measurements, and the spread of the deciding figure. */
function rowOf(
  { inFlight, figure }: { readonly inFlight: number; readonly figure: string },
  { name, parameters }: Target,
  figures: readonly Figures[],
  inPairs: boolean,
): Row {
  const of = (key: string): number[] => figures.map((each) => each[key]!)
  return {
    name,
    inFlight,
    ...Object.fromEntries(Object.keys(figures[0]!).map((key) => [key, median(of(key))])),
    [`${figure}Min`]: Math.min(...of(figure)),
    [`${figure}Max`]: Math.max(...of(figure)),
    measurements: figures.length,
    phase: inPairs ? 'pairs' : 'calibration',
    ...parameters,
  }
}
