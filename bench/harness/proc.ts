import { readFileSync, readdirSync } from 'node:fs'

/** Ticks per second of the times in /proc, the same on every Linux. */
const TICKS_PER_SECOND = 100

/** Processor time that a process has used. */
export interface ProcessorTime {
  /** utime + stime of /proc/<pid>/stat, in steps of 10 ms. */
  readonly ms: number
  /** The same from the scheduler's books, to the nanosecond, over the threads that are alive. */
  readonly schedulerMs: number
  /** How often its threads gave up the processor to wait: each is a wake-up later. */
  readonly sleeps: number
}

export function processorTime(pid: number): ProcessorTime {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is a name in parentheses that may hold anything; what follows it begins with the third.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  let nanoseconds = 0
  let sleeps = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(
      readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0],
    )
    sleeps += field(`/proc/${pid}/task/${thread}/status`, 'voluntary_ctxt_switches')
  }
  return { ms: (ticks / TICKS_PER_SECOND) * 1000, schedulerMs: nanoseconds / 1e6, sleeps }
}

/** Memory of a process. */
export interface ResidentMemory {
  /** What is its own. */
  readonly anonBytes: number
  /** That, the files that it has mapped and the shared memory that it has touched. */
  readonly rssBytes: number
}

/** Undefined when there is no such process any more. */
export function residentMemory(pid: number): ResidentMemory | undefined {
  try {
    const file = `/proc/${pid}/status`
    return { anonBytes: field(file, 'RssAnon') * 1024, rssBytes: field(file, 'VmRSS') * 1024 }
  } catch {
    return undefined
  }
}

/** The most that a process ever had resident, shared memory included. */
export function peakResidentBytes(pid: number): number {
  return field(`/proc/${pid}/status`, 'VmHWM') * 1024
}

function field(file: string, name: string): number {
  const match = new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(readFileSync(file, 'utf8'))
  if (match === null) throw new Error(`${file} has no ${name}`)
  return Number(match[1])
}
