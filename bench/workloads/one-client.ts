import { alternatingPairs, rotated } from '../harness/pairs.ts'
import { type Outcome, type Row, type Settings, goalOf, progress } from '../harness/report.ts'
import { ServiceSide, type ServiceSetup } from '../harness/service-side.ts'
import { median, ratioOf } from '../harness/statistics.ts'
import type { Sampled } from '../models/samples.ts'

const MANY = 128
const QUICK_MANY = 8

type Measured = Awaited<ReturnType<ServiceSide['clients']>>

const setup = (family: string, way: 'plain' | 'aqueduct', spin?: number): ServiceSetup => ({
  family,
  language: 'node',
  plan: { way, workers: 1, threads: 1, batchSize: 32, ...(spin === undefined ? {} : { spin }) },
})

/** One client alone, where wake-ups are all there is to lose; and what looking for work takes, alone and among many. */
export async function oneClient(
  digits: Sampled,
  { pairs, seconds, quick }: Settings,
): Promise<Outcome> {
  await using stack = new AsyncDisposableStack()
  const start = async (one: ServiceSetup): Promise<ServiceSide> =>
    stack.use(await ServiceSide.start(one, digits))
  const sides = await Promise.all([
    start(setup('aqueduct-ts', 'aqueduct')),
    start(setup('plain Fastify', 'plain')),
    start(setup('aqueduct-ts, spin 0', 'aqueduct', 0)),
  ])
  const [ours, plain] = sides
  if (!quick) for (const side of sides) await side.clients(MANY, seconds)

  const measured = await alternatingPairs(
    pairs,
    () => ours.clients(1, seconds),
    () => plain.clients(1, seconds),
    (pair, mine, theirs) =>
      progress(
        `one client: pair ${pair + 1} of ${pairs}: ${mine.p50Ms.toFixed(3)} ms and ${theirs.p50Ms.toFixed(3)} ms`,
      ),
  )
  const alone = ratioOf(
    measured.map(({ ours: mine, theirs }) => ({ ours: mine.p50Ms, theirs: theirs.p50Ms })),
    'median latency: aqueduct-ts over plain Fastify',
  )
  const rows: Row[] = [
    rowOf(
      ours,
      1,
      measured.map((pair) => pair.ours),
    ),
    rowOf(
      plain,
      1,
      measured.map((pair) => pair.theirs),
    ),
  ]

  const found = new Map<string, Measured[]>()
  const rounds = quick ? 1 : 3
  const many = quick ? QUICK_MANY : MANY
  for (let round = 0; round < rounds; round++) {
    progress(`what looking for work takes: round ${round + 1} of ${rounds}`)
    for (const clients of [1, many]) {
      for (const side of rotated(sides, round)) {
        const key = `${clients} ${side.setup.family}`
        found.set(key, [...(found.get(key) ?? []), await side.clients(clients, seconds)])
      }
    }
  }
  for (const clients of [1, many])
    for (const side of sides)
      rows.push(rowOf(side, clients, found.get(`${clients} ${side.setup.family}`)!))
  const group = (clients: number, of: (measured: Measured) => number) => ({
    label: clients === 1 ? 'one client' : `${clients} clients`,
    bars: sides.map(({ setup: { family } }) => {
      const values = found.get(`${clients} ${family}`)!.map(of)
      return {
        side: family,
        value: median(values),
        min: Math.min(...values),
        max: Math.max(...values),
      }
    }),
  })
  return {
    results: rows,
    ratios: { 'digits/oneClient': alone },
    goals: [goalOf("One client alone, median latency over plain Fastify's", 'at most', 1.6, alone)],
    charts: [
      {
        kind: 'bars',
        title: 'Median latency of the digits service, client by client',
        unit: 'ms',
        better: 'lower',
        groups: [1, many].map((clients) => group(clients, ({ p50Ms }) => p50Ms)),
      },
      {
        kind: 'bars',
        title: 'Processor time for a request, all processes of the server',
        unit: 'µs',
        better: 'lower',
        groups: [1, many].map((clients) =>
          group(clients, ({ cpuUsPerRequest }) => cpuUsPerRequest),
        ),
      },
    ],
  }
}

function rowOf(
  { setup: { family, plan } }: ServiceSide,
  clients: number,
  measured: readonly Measured[],
): Row {
  const of = (key: keyof Measured): number[] => measured.map((each) => each[key])
  return {
    name: family,
    model: 'digits',
    clients,
    p50Ms: median(of('p50Ms')),
    p50MsMin: Math.min(...of('p50Ms')),
    p50MsMax: Math.max(...of('p50Ms')),
    p99Ms: median(of('p99Ms')),
    perSecond: median(of('perSecond')),
    cpuUsPerRequest: median(of('cpuUsPerRequest')),
    measurements: measured.length,
    ...plan,
  }
}
