import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { describe } from 'vitest'
import type { BaseTask, Flow, FlowLogger } from '../../src/index.ts'

export type Isolation = 'process' | 'thread'

/** Declares the same tests twice: for steps whose workers are processes, and for steps whose workers are threads. */
export function describeIsolations(what: string, define: (isolation: Isolation) => void): void {
  describe.each<Isolation>(['process', 'thread'])(`${what} (isolation: %s)`, (isolation) => {
    define(isolation)
  })
}

/** The same flow, started. */
export async function started<Task extends BaseTask>(flow: Flow<Task>): Promise<Flow<Task>> {
  await flow.start()
  return flow
}

/** Pids of a flow's workers: for threads, the pid of this process. */
export const pidsOf = <Task extends BaseTask>(flow: Flow<Task>): number[] =>
  flow.stats().workers.map(({ pid }) => pid)

/** How many of a flow's workers live. */
export const living = <Task extends BaseTask>(flow: Flow<Task>): number =>
  flow.stats().workers.filter(({ state }) => state !== 'dead').length

/** What a promise is rejected with. Fails when it is not. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const [outcome] = await Promise.allSettled([promise])
  if (outcome.status === 'rejected') return outcome.reason
  throw new Error('resolved, where a rejection was expected')
}

/** Lets the event loop turn once. */
export const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve)
  })

const POLL_EVERY = 5

/**
 * Waits until something outside of this process has come true. Only for what offers no event: /proc, or memory that a
 * worker writes.
 */
export async function until(condition: () => boolean, what: string, within = 5_000): Promise<void> {
  const deadline = performance.now() + within
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${within} ms: ${what}`)
    await new Promise((resolve) => {
      setTimeout(resolve, POLL_EVERY)
    })
  }
}

/** Whether a process exists and is more than a zombie. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return false
  }
}

/** Which of these worker processes still live. */
export const survivors = (pids: readonly number[]): number[] =>
  pids.filter((pid) => pid !== process.pid && isAlive(pid)) // a thread's pid is this process's

/** The children of a process, as the kernel lists them. */
export function childrenOf(pid: number): number[] {
  try {
    const list = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    return list === '' ? [] : list.split(' ').map(Number)
  } catch {
    return []
  }
}

type Level = 'debug' | 'info' | 'warn' | 'error'

interface Entry {
  readonly level: Level
  readonly data: object
  readonly message: string
}

/** A flow's logger that keeps what it is told, and lets a test wait for it. */
export class Journal implements FlowLogger {
  readonly entries: Entry[] = []
  readonly #noted = new EventEmitter<{ entry: [] }>()

  debug(data: object, message: string): void {
    this.#note('debug', data, message)
  }

  info(data: object, message: string): void {
    this.#note('info', data, message)
  }

  warn(data: object, message: string): void {
    this.#note('warn', data, message)
  }

  error(data: object, message: string): void {
    this.#note('error', data, message)
  }

  /** The entries of a level. */
  of(level: Level): Entry[] {
    return this.entries.filter((entry) => entry.level === level)
  }

  count(level: Level): number {
    return this.of(level).length
  }

  /** Waits for the `count`th entry of a level. Deaths are warnings, a replacement that is ready is an info. */
  async reached(level: Level, count: number): Promise<void> {
    await this.has(() => this.count(level) >= count)
  }

  /** Waits until the entries are as they should be. */
  async has(condition: (entries: readonly Entry[]) => boolean): Promise<void> {
    const signal = AbortSignal.timeout(60_000)
    while (!condition(this.entries)) await once(this.#noted, 'entry', { signal })
  }

  #note(level: Level, data: object, message: string): void {
    this.entries.push({ level, data, message })
    this.#noted.emit('entry')
  }
}

/** Whether callers get views of shared memory; where V8 cannot guard those (Node 22), they get copies. */
export const handsOutViews = Number(process.versions.v8.split('.')[0]) >= 13
