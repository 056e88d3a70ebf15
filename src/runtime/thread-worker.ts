import { Worker } from 'node:worker_threads'
import { libc } from '../memory/libc.ts'
import {
  ENTRY_LOADED,
  HANDLER_LOADED,
  type WorkerInit,
  type WorkerMessage,
} from '../transport/protocol.ts'
import { encodeReport } from '../transport/reports.ts'
import type { FlowMemory } from './memory-files.ts'
import {
  type SpawnOptions,
  type WorkerEvents,
  type WorkerHandle,
  type WorkerPlan,
  entryUrl,
  inheritedEnv,
} from './worker-handle.ts'

/** Milliseconds after which a thread is ended that has not loaded yet: the import of a module may hang. */
const LONGEST_LOAD = 10_000

/**
 * Starts a worker thread on the parent's own mapping.
 *
 * A thread that is ended while it loads or binds native code, ours or that of the handler's module, takes the whole
 * process with it: the code cannot throw any more, and aborts. So a thread that is killed early is ended when it says that
 * it has loaded.
 */
export function spawnThread(
  plan: WorkerPlan,
  memory: FlowMemory,
  options: SpawnOptions,
  events: WorkerEvents,
): WorkerHandle {
  const worker = new Worker(entryUrl('thread-entry'), {
    env: { ...inheritedEnv(), ...options.env },
    stdout: true,
    stderr: true,
    ...(options.execArgv === undefined ? {} : { execArgv: [...options.execArgv] }),
    ...(options.resourceLimits === undefined ? {} : { resourceLimits: options.resourceLimits }),
  })
  let hasLoaded = false
  let isKilled = false
  worker.on('message', (message: WorkerMessage | typeof ENTRY_LOADED | typeof HANDLER_LOADED) => {
    if (message !== ENTRY_LOADED && message !== HANDLER_LOADED) return events.onMessage(message)
    hasLoaded = message === HANDLER_LOADED
    if (isKilled) void worker.terminate()
    else if (!hasLoaded) worker.postMessage({ type: 'init', init: initOf(plan, memory) })
  })
  worker.on('error', (error: unknown) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    events.onOutput('stderr', `${text}\n`)
    // The thread could not say so itself when it ran out of memory.
    events.onMessage({ type: 'fatal', report: encodeReport({ err: error }) })
  })
  worker.on('exit', (code) => events.onExit({ code, signal: undefined }))
  worker.stdout.setEncoding('utf8').on('data', (text: string) => events.onOutput('stdout', text))
  worker.stderr.setEncoding('utf8').on('data', (text: string) => events.onOutput('stderr', text))
  return {
    pid: process.pid,
    send: (message) => worker.postMessage(message),
    kill: () => {
      if (hasLoaded) void worker.terminate()
      else if (!isKilled) setTimeout(() => void worker.terminate(), LONGEST_LOAD).unref()
      isKilled = true
    },
  }
}

function initOf(plan: WorkerPlan, { control, payloads, bells }: FlowMemory): WorkerInit {
  return {
    ...plan,
    memory: {
      controlFd: control.fd,
      controlBytes: control.byteLength,
      controlAddress: control.address,
      payloadFd: payloads.fd,
      payloadBytes: payloads.byteLength,
      payloadAddress: payloads.address,
      // The thread closes its bell when it ends; the flow's own end must outlive it.
      ownBell: libc().dup(bells[plan.actor]!.read),
      bells: bells.map(({ write }) => write),
    },
    parentPid: undefined,
  }
}
