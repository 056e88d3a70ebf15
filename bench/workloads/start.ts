import type { BarChart } from '../charts/chart.ts'
import { Contenders } from '../harness/contest.ts'
import { rotated } from '../harness/pairs.ts'
import { type Missing, missingPython } from '../harness/peers.ts'
import { residentMemory } from '../harness/proc.ts'
import {
  type Outcome,
  type Row,
  type Settings,
  type Workload,
  progress,
} from '../harness/report.ts'
import { median } from '../harness/statistics.ts'
import { type Side, ours, original, oursOtherwise, sumPeers } from '../harness/sum-sides.ts'

const WORKERS = [1, 2, 4, 8]
const ROUNDS = 5

interface Start {
  readonly readyMs: number
  readonly anonBytes: number
}

const key = (side: Side, workers: number): string => `${side.name} ${workers}`

/** From nothing to the first task done, and the memory of all processes then. */
async function run({ quick }: Settings): Promise<Outcome> {
  const piscina = sumPeers(true).peers.find(({ family }) => family === 'piscina')!
  const noPython = missingPython()
  const missing: Missing[] =
    noPython === undefined ? [] : [{ name: original.name, reason: noPython }]
  const sides = [ours, oursOtherwise[0]!, piscina, ...(noPython === undefined ? [original] : [])]
  const counts = quick ? [1] : WORKERS
  const found = new Map<string, Start[]>()
  for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
    progress(`round ${round + 1} of ${quick ? 1 : ROUNDS}`)
    for (const workers of counts) {
      for (const side of rotated(sides, round)) {
        await using contenders = await Contenders.start([side], { workers })
        const program = contenders.running[0]?.program
        if (program === undefined) {
          missing.push(...contenders.missing)
          continue
        }
        const { readyMs, workers: pids } = program.ready
        const anonBytes = [program.pid, ...pids].reduce(
          (sum, pid) => sum + (residentMemory(pid)?.anonBytes ?? 0),
          0,
        )
        const starts = found.get(key(side, workers)) ?? []
        found.set(key(side, workers), [...starts, { readyMs, anonBytes }])
      }
    }
  }
  const rows: Row[] = []
  const chart = (title: string, unit: string, value: (start: Start) => number): BarChart => ({
    kind: 'bars',
    title,
    unit,
    better: 'lower',
    groups: counts.map((workers) => ({
      label: workers === 1 ? '1 worker' : `${workers} workers`,
      bars: sides.flatMap((side) => {
        const values = found.get(key(side, workers))?.map(value)
        if (values === undefined) return []
        return {
          side: side.family,
          value: median(values),
          min: Math.min(...values),
          max: Math.max(...values),
        }
      }),
    })),
  })
  for (const side of sides) {
    for (const workers of counts) {
      const starts = found.get(key(side, workers))
      if (starts === undefined) continue
      const times = starts.map(({ readyMs }) => readyMs)
      rows.push({
        name: side.name,
        workers,
        readyMs: median(times),
        readyMsMin: Math.min(...times),
        readyMsMax: Math.max(...times),
        anonBytes: median(starts.map(({ anonBytes }) => anonBytes)),
        measurements: starts.length,
      })
    }
  }
  return {
    results: rows,
    ratios: {},
    charts: [
      chart('Time until the first task is done', 'ms', ({ readyMs }) => readyMs),
      chart('Own memory of all processes', 'MiB', ({ anonBytes }) => anonBytes / 2 ** 20),
    ],
    missing,
  }
}

export const start: Workload = {
  about: 'time to ready and memory for 1 to 8 workers',
  explained:
    'A program that is already running starts workers and has them do one task. The clock runs until its result is there, and then the memory is counted that is the processes\u2019 own.',
  takes: '2 min',
  run,
}
