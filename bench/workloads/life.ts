import { rotated } from '../harness/pairs.ts'
import { Program } from '../harness/program.ts'
import {
  type Outcome,
  type Row,
  type Settings,
  type Workload,
  progress,
} from '../harness/report.ts'
import { median } from '../harness/statistics.ts'
import type { LifeOrder, Stages } from '../programs/life-orders.ts'

const STATES = [
  { state: 'back to back', pauseMs: 0 },
  { state: 'after 10 ms of rest', pauseMs: 10 },
] as const
const STAGES = ['submitUs', 'thereUs', 'handleUs', 'backUs', 'totalUs'] as const
const NAMES: Readonly<Record<(typeof STAGES)[number], string>> = {
  submitUs: 'process() of the caller',
  thereUs: 'until the handler has it',
  handleUs: 'handler (empty)',
  backUs: 'until the caller has it',
  totalUs: 'all of it',
}

/** One task's life in microseconds. */
async function run({ pairs, seconds, quick }: Settings): Promise<Outcome> {
  const rows: Row[] = []
  const states = quick ? STATES.slice(0, 1) : STATES
  for (const isolation of ['process', 'thread'] as const) {
    await using program = await Program.node('life', { isolation })
    const found = new Map(states.map(({ state }) => [state as string, [] as Stages[]]))
    for (let round = 0; round < pairs; round++) {
      progress(`${isolation}: round ${round + 1} of ${pairs}`)
      for (const { state, pauseMs } of rotated(states, round))
        found.get(state)!.push(await program.ask<Stages>({ seconds, pauseMs } satisfies LifeOrder))
    }
    for (const [state, all] of found) {
      rows.push({
        name: isolation === 'process' ? 'aqueduct-ts' : 'aqueduct-ts, threads',
        state,
        ...Object.fromEntries(
          STAGES.map((stage) => [stage, median(all.map((each) => each[stage]))]),
        ),
        rounds: all.length,
      })
    }
  }
  return {
    results: rows,
    ratios: {},
    charts: states.map(({ state }) => ({
      kind: 'bars',
      title: `A single task, ${state}`,
      unit: 'µs',
      better: 'lower',
      groups: STAGES.map((stage) => ({
        label: NAMES[stage],
        bars: rows
          .filter((row) => row['state'] === state)
          .map((row) => ({ side: row.name, value: row[stage] as number })),
      })),
    })),
  }
}

export const life: Workload = {
  about: 'where the microseconds of a single task go',
  explained:
    'Single tasks go through one step with an empty handler, and each notes the time where it passes. Back to back both sides are awake and it is work that is measured, after a rest it is mostly waking up.',
  takes: '1 min',
  run,
}
