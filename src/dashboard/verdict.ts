import type { FlowSample, FlowView, StepSample } from '../index.ts'

/** How a flow is doing. `down`: it does not run. */
type Level = 'ok' | 'warn' | 'bad' | 'down'

/** What is the matter with a flow, in words. */
interface Reason {
  readonly level: Level
  readonly text: string
}

/** The step that holds the others up. */
interface Bottleneck {
  readonly step: number
  readonly text: string
}

/** What somebody needs to know of a flow first. */
export interface Verdict {
  readonly level: Level
  /** One word or two: `Healthy`. */
  readonly title: string
  /** The worst first; none where all is well. */
  readonly reasons: readonly Reason[]
  readonly bottleneck: Bottleneck | undefined
}

/** Milliseconds that are looked at for what has gone wrong, and for who is busy. */
const RECENT_MS = 10_000
const BUSY_MS = 5_000
/** Milliseconds for which a death is worth a word. */
const AFTER_DEATH_MS = 60_000

const TITLES: Readonly<Record<Level, string>> = {
  ok: 'Healthy',
  warn: 'Needs a look',
  bad: 'In trouble',
  down: 'Not running',
}
const SEVERITY: readonly Level[] = ['ok', 'warn', 'bad', 'down']

/** Judges a flow by its last samples (the latest last) and its present view. */
export function judge(samples: readonly FlowSample[], view: FlowView): Verdict {
  const now = samples.at(-1)
  const bottleneck = now && bottleneckOf(samples, view)
  const reasons = [...reasonsOf(samples, view)].toSorted(
    (a, b) => SEVERITY.indexOf(b.level) - SEVERITY.indexOf(a.level),
  )
  const level = reasons[0]?.level ?? 'ok'
  return { level, title: TITLES[level], reasons, bottleneck }
}

function* reasonsOf(samples: readonly FlowSample[], view: FlowView): Generator<Reason> {
  const now = samples.at(-1)
  if (view.state !== 'running') {
    const isBeginning = view.state === 'starting'
    yield { level: isBeginning ? 'warn' : 'down', text: `The flow is ${view.state}.` }
  }
  if (now === undefined) return
  const { workers, memory } = view.stats
  for (const [step, { name, isReady, reason }] of view.health.steps.entries()) {
    if (view.state !== 'running') break
    const waiting = waitingOf(now.steps[step])
    const wait = waiting > 0 ? `, ${count(waiting, 'task waits', 'tasks wait')}` : ''
    if (!isReady) yield { level: 'bad', text: `${name} is not ready: ${reason}${wait}.` }
    const own = workers.filter((worker) => worker.step === name && worker.state !== 'ending')
    const running = own.filter(({ state }) => state === 'running').length
    if (isReady && running < own.length)
      yield { level: 'warn', text: `${running} of ${own.length} workers of ${name} are running.` }
  }
  const recent = samples.filter(({ at }) => at > now.at - RECENT_MS)
  const sum = (name: 'failed' | 'timedOut' | 'rejected' | 'completed'): number =>
    recent.reduce((before, { tasks }) => before + tasks[name], 0)
  const [rejected, timedOut, failed, completed] = [
    sum('rejected'),
    sum('timedOut'),
    sum('failed'),
    sum('completed'),
  ]
  const lately = `in the last ${RECENT_MS / 1_000} seconds`
  if (rejected > 0)
    yield {
      level: 'bad',
      text: `${count(rejected, 'task was', 'tasks were')} refused ${lately}: more come than can be done in time.`,
    }
  if (timedOut > 0)
    yield { level: 'bad', text: `${count(timedOut, 'task', 'tasks')} timed out ${lately}.` }
  if (failed > 0)
    yield {
      level: failed * 10 > completed ? 'bad' : 'warn',
      text: `${count(failed, 'task', 'tasks')} failed ${lately}.`,
    }
  const share = memory.bytesInUse / memory.bytesMax
  if (share > 0.7)
    yield {
      level: share > 0.75 ? 'bad' : 'warn',
      text: `Shared memory is ${percent(share)} in use: tasks wait for room.`,
    }
  const deaths = view.events.filter(
    ({ at, level, message }) =>
      at > now.at - AFTER_DEATH_MS && level !== 'info' && message.includes('ended with'),
  )
  if (deaths.length > 0)
    yield {
      level: 'warn',
      text: `${count(deaths.length, 'worker has', 'workers have')} died in the last minute.`,
    }
}

function bottleneckOf(samples: readonly FlowSample[], view: FlowView): Bottleneck | undefined {
  const now = samples.at(-1)!
  const lately = samples.filter(({ at }) => at > now.at - BUSY_MS)
  const candidates = view.steps.map(({ name, queueSize, nprocs, concurrency, batchSize }, step) => {
    const busy =
      lately.reduce((sum, sample) => sum + (sample.steps[step]?.busy ?? 0), 0) / lately.length
    const fill = Math.max(
      0,
      ...(now.steps[step]?.waiting ?? []).map(({ tasks }) => tasks / queueSize),
    )
    // As much waits, all the while, as its workers can take at once.
    const isBehind = meanWaiting(lately, step) >= nprocs * concurrency * batchSize
    return { step, name, nprocs, busy, fill, isBehind, waiting: waitingOf(now.steps[step]) }
  })
  // Who is busiest holds the others up; among those that never rest, the one before which most waits.
  const [worst] = candidates.toSorted(
    (a, b) => Math.round(b.busy * 10) - Math.round(a.busy * 10) || b.fill - a.fill,
  )
  const full = candidates.findLast(({ fill }) => fill >= 0.9)
  const one = full !== undefined && full.busy >= 0.3 ? full : worst
  if (one === undefined || one.busy < 0.5) return undefined
  // On a machine that is busy with other things its workers cannot be at work all the time, though there is enough to do.
  if (one.busy < 0.8 && one.fill < 0.5 && !one.isBehind) return undefined
  const who = one.nprocs === 1 ? 'its worker is' : `its ${one.nprocs} workers are`
  const wait = one.waiting > 0 ? `, ${count(one.waiting, 'task waits', 'tasks wait')}` : ''
  return {
    step: one.step,
    text: `${one.name} sets the pace: ${who} ${percent(one.busy)} busy${wait}.`,
  }
}

/** Tasks that have waited before a step at a time, on average: how many came, by how long each waited. */
function meanWaiting(samples: readonly FlowSample[], step: number): number {
  let waited = 0
  let time = 0
  for (const { steps, periodMs } of samples) {
    const { tasks = 0, queueMs = 0 } = steps[step] ?? {}
    waited += tasks * queueMs
    time += periodMs
  }
  return waited / time
}

const waitingOf = (step: StepSample | undefined): number =>
  (step?.waiting ?? []).reduce((sum, { tasks }) => sum + tasks, 0)

const count = (number: number, one: string, many: string): string =>
  `${number.toLocaleString('en')} ${number === 1 ? one : many}`

const percent = (share: number): string => `${Math.round(share * 100)} %`
