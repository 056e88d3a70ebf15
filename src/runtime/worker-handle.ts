import type { ParentMessage, WorkerInit, WorkerMessage } from '../transport/protocol.ts'
import { encodeReport } from '../transport/reports.ts'

/** How a worker ended. */
export interface WorkerExit {
  readonly code: number | undefined
  readonly signal: string | undefined
}

/** What the supervisor hears from a worker. */
export interface WorkerEvents {
  onMessage(message: WorkerMessage): void
  onOutput(stream: 'stdout' | 'stderr', text: string): void
  onExit(exit: WorkerExit): void
}

/** A running worker: a process or a thread, the supervisor does not care which. */
export interface WorkerHandle {
  /** The process id; for a thread the id of the process that it is in. */
  readonly pid: number
  send(message: ParentMessage): void
  /**
   * Ends it: a process at once, a thread as soon as its event loop turns, by force after a while. `onExit` follows, except
   * for a thread stuck in native code, which cannot be ended.
   */
  kill(): void
}

/** What a step lets its workers inherit. */
export interface SpawnOptions {
  readonly execArgv: readonly string[] | undefined
  readonly env: Readonly<Record<string, string>> | undefined
  readonly resourceLimits: ResourceLimits | undefined
}

/** Heap limits of a worker, as in `node:worker_threads`. */
export interface ResourceLimits {
  /** Old-generation heap in MiB. */
  readonly maxOldGenerationSizeMb?: number
  /** Young-generation heap in MiB. */
  readonly maxYoungGenerationSizeMb?: number
  /** Stack in MiB. */
  readonly stackSizeMb?: number
}

/** A worker's init without what depends on whether it is a process or a thread. */
export type WorkerPlan = Omit<WorkerInit, 'memory' | 'parentPid'>

/** Flags of the parent that would hurt a worker: one debugger port for two, a module to evaluate instead of the entry. */
const UNWANTED_FLAG =
  /^--(inspect|debug|watch|test|eval|print|check|interactive|input-type|run|build-sea)/
const FLAG_WITH_VALUE =
  /^(-e|-p|-pe|--eval|--print|--input-type|--watch-path|--inspect-port|--run|--build-sea)$/
const SHORT_UNWANTED = /^-(e|p|pe|c|i)$/

/** What a worker inherits of the parent's `execArgv`. */
export function inheritedExecArgv(execArgv: readonly string[] = process.execArgv): string[] {
  const kept: string[] = []
  for (let index = 0; index < execArgv.length; index++) {
    const flag = execArgv[index]!
    if (UNWANTED_FLAG.test(flag) || SHORT_UNWANTED.test(flag)) {
      if (FLAG_WITH_VALUE.test(flag)) index++
      continue
    }
    kept.push(flag)
  }
  return kept
}

/** The parent's environment, without debugger flags in NODE_OPTIONS. */
export function inheritedEnv(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const options = env['NODE_OPTIONS']
  if (options === undefined) return env
  const kept = options.split(/\s+/).filter((flag) => !UNWANTED_FLAG.test(flag))
  return { ...env, NODE_OPTIONS: kept.join(' ') }
}

/** The file beside this package's own that is a worker's entry; raw TypeScript in the source tree, JavaScript in the build. */
export function entryUrl(name: string): URL {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
  return new URL(`../worker/${name}${extension}`, import.meta.url)
}

/** Sends a worker its first word. What cannot be sent fails its start. */
export function sendInit(
  send: (message: ParentMessage) => void,
  init: WorkerInit,
  events: WorkerEvents,
): void {
  try {
    send({ type: 'init', init })
  } catch (error) {
    const report = encodeReport({ err: error })
    queueMicrotask(() => events.onMessage({ type: 'failed', failure: 'start', report }))
  }
}
