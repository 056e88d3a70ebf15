import { availableParallelism } from 'node:os'
import { reasonOf } from '../harness/contest.ts'
import { rotated } from '../harness/pairs.ts'
import type { Missing } from '../harness/peers.ts'
import { P99_MS, highestRate, keptRate } from '../harness/rate-search.ts'
import {
  type Outcome,
  type Ratio,
  type Row,
  type Settings,
  type Workload,
  progress,
} from '../harness/report.ts'
import {
  ServiceSide,
  type ServiceSetup,
  type Trial,
  serviceSetups,
} from '../harness/service-side.ts'
import { median } from '../harness/statistics.ts'
import type { Sampled } from '../models/samples.ts'
import { OURS, PLAIN, type Round, outcomeOf } from './service-outcome.ts'
import { oneClient } from './one-client.ts'

const CALIBRATION_CLIENTS = 48
const QUICK_CLIENTS = 4
const FIRST_TRIALS = 6
const LATER_TRIALS = 4
/** How many times as long the light routes are compared: a 99th percentile wants some hundred requests. */
const LIGHT_TIMES = 3

/** A network behind HTTP, under a constant rate of requests, beside what people build today. */
async function run(settings: Settings): Promise<Outcome> {
  process.env['ORT_DISABLE_TELEMETRY'] = '1' // the runtime would write files and report home
  const { digitSamples, imageSamples } = await import('../models/samples.ts')
  const digits = await digitSamples()
  const images = await imageSamples()
  const outcomes = [await serve(digits, settings), await serve(images, settings)]
  const alone = await oneClient(digits, settings)
  const all = [...outcomes, alone]
  return {
    results: all.flatMap(({ results }) => results),
    ratios: Object.assign({}, ...all.map(({ ratios }) => ratios)) as Record<string, Ratio>,
    goals: all.flatMap(({ goals = [] }) => goals),
    charts: all.flatMap(({ charts = [] }) => charts),
    missing: outcomes[0]!.missing ?? [],
  }
}

async function serve(sampled: Sampled, { pairs, seconds, quick }: Settings): Promise<Outcome> {
  const { model } = sampled
  const { setups: all, missing } = serviceSetups(availableParallelism())
  // The second network is there to be seen to run.
  const setups =
    quick && model === 'mobilenet'
      ? all.filter(({ family }) => family === OURS || family === PLAIN)
      : all
  const {
    sides,
    guesses,
    rows,
    missing: notThere,
  } = await chooseBest(sampled, setups, seconds, quick)
  try {
    const found = new Map(sides.map((side): [ServiceSide, Round[]] => [side, []]))
    const plain = sides.find(({ setup }) => setup.family === PLAIN)!
    const long = quick ? seconds : seconds * LIGHT_TIMES
    for (let round = 0; round < pairs; round++) {
      for (const side of rotated(sides, round)) {
        const attempt = (perSecond: number): Promise<Trial> => side.trial(perSecond, seconds)
        const trials = quick ? 1 : round === 0 ? FIRST_TRIALS : LATER_TRIALS
        const best = await highestRate(attempt, guesses.get(side)!, trials)
        if (best !== undefined) guesses.set(side, best.perSecond)
        found.get(side)!.push({ best })
        progress(
          `${model}: round ${round + 1} of ${pairs}: ${side.setup.family} ${best === undefined ? 'kept no rate' : `${best.perSecond.toFixed(0)} requests/s, light route ${best.light.p99Ms.toFixed(1)} ms`}`,
        )
      }
      // The light routes at one and the same rate: what plain Fastify can keep for that long.
      const rate = found.get(plain)!.at(-1)!.best?.perSecond
      if (rate === undefined) continue
      const kept = await keptRate((perSecond) => plain.trial(perSecond, long), rate)
      if (kept === undefined) continue
      const told: string[] = []
      for (const side of rotated(sides, round)) {
        const trial = await side.trial(kept.perSecond, long)
        const { failed, p99Ms } = trial.light
        if (failed === 0) found.get(side)!.at(-1)!.atPlain = trial
        told.push(
          `${side.setup.family} ${failed === 0 ? `${p99Ms.toFixed(1)} ms` : `${failed} failed`}`,
        )
      }
      progress(
        `${model}: round ${round + 1} of ${pairs}: light routes at ${kept.perSecond.toFixed(0)} requests/s: ${told.join(', ')}`,
      )
    }
    for (const [side, rounds] of found) rows.push(rowOf(model, side.setup, rounds))
    return outcomeOf(model, found, rows, [...missing, ...notThere])
  } finally {
    await Promise.all(sides.map((side) => side[Symbol.asyncDispose]()))
  }
}

/** Each way in the settings in which it answers the most; a rate to begin the search with. */
async function chooseBest(
  sampled: Sampled,
  setups: readonly ServiceSetup[],
  seconds: number,
  quick: boolean,
): Promise<{
  sides: ServiceSide[]
  guesses: Map<ServiceSide, number>
  rows: Row[]
  missing: Missing[]
}> {
  const sides: ServiceSide[] = []
  const guesses = new Map<ServiceSide, number>()
  const rows: Row[] = []
  const missing: Missing[] = []
  for (const family of new Set(setups.map((setup) => setup.family))) {
    let best: { side: ServiceSide; perSecond: number } | undefined
    const all = setups.filter((setup) => setup.family === family)
    for (const setup of quick ? all.slice(0, 1) : all) {
      let side: ServiceSide
      try {
        side = await ServiceSide.start(setup, sampled)
      } catch (error) {
        if (setup.language === 'node') throw error
        missing.push({
          name: family,
          reason: reasonOf(error),
        })
        continue
      }
      const clients = quick ? QUICK_CLIENTS : CALIBRATION_CLIENTS
      if (!quick) await side.clients(clients, seconds / 4) // what is not compiled yet is not measured
      const { perSecond, p99Ms, cpuUsPerRequest } = await side.clients(clients, seconds)
      progress(
        `${sampled.model}: ${family} ${JSON.stringify(setup.plan)}: ${perSecond.toFixed(0)} requests/s`,
      )
      rows.push({
        name: family,
        model: sampled.model,
        clients,
        perSecond,
        p99Ms,
        cpuUsPerRequest,
        ...setup.plan,
      })
      const loser = best === undefined || perSecond > best.perSecond ? best?.side : side
      if (loser !== side) best = { side, perSecond }
      await loser?.[Symbol.asyncDispose]()
    }
    if (best === undefined) continue
    sides.push(best.side)
    guesses.set(best.side, Math.max(10, best.perSecond * (quick ? 0.5 : 0.9)))
  }
  return { sides, guesses, rows, missing }
}

const medianOf = (
  trials: readonly (Trial | undefined)[],
  value: (trial: Trial) => number,
): number => median(trials.filter((trial) => trial !== undefined).map(value))

function rowOf(model: string, { family, plan }: ServiceSetup, rounds: readonly Round[]): Row {
  const rates = rounds.map(({ best }) => best?.perSecond ?? 0)
  const best = rounds.map((round) => round.best)
  return {
    name: family,
    model,
    perSecondWithinP99: median(rates),
    perSecondMin: Math.min(...rates),
    perSecondMax: Math.max(...rates),
    p99BoundMs: P99_MS,
    p50Ms: medianOf(best, ({ heavy }) => heavy.p50Ms),
    p99Ms: medianOf(best, ({ heavy }) => heavy.p99Ms),
    lightP50Ms: medianOf(best, ({ light }) => light.p50Ms),
    lightP99Ms: medianOf(best, ({ light }) => light.p99Ms),
    lightP99AtPlainsRateMs: medianOf(
      rounds.map(({ atPlain }) => atPlain),
      ({ light }) => light.p99Ms,
    ),
    rounds: rounds.length,
    ...plan,
  }
}

export const service: Workload = {
  about: 'two networks behind HTTP at a constant rate, beside what people build today',
  explained:
    'Raw pixels come in at a constant rate that does not wait for answers, a network is asked, and latency counts from when a request should have been sent. The figure is the highest rate at which 99 of 100 answers come within 100 ms, and how long an unrelated route of the same server takes meanwhile.',
  takes: '55 min',
  defaults: { seconds: 3 },
  run,
}
