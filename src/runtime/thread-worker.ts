import { Worker } from 'node:worker_threads'
import type { ParentMessage, WorkerInit, WorkerMessage } from '../transport/protocol.ts'
import { encodeReport } from '../transport/reports.ts'
import type { FlowMemory } from './memory-files.ts'
import {
  type SpawnOptions,
  type WorkerEvents,
  type WorkerHandle,
  type WorkerPlan,
  entryUrl,
  inheritedEnv,
  sendInit,
} from './worker-handle.ts'

/** Milliseconds that a thread gets to end by itself: the import of a module may take all of its event loop for longer. */
const GRACE_OF_STARTING = 4_000
/** One that is ready lets its event loop turn, unless its handler is stuck. */
const GRACE_OF_READY = 250

/**
 * Starts a worker thread on the parent's own mapping.
 *
 * A thread that is terminated while it is in native code which makes a JavaScript value, ours or that of the handler's
 * module, takes the whole process with it: the code cannot throw any more, and aborts. So a thread is asked to end, which
 * it does in its event loop, and is terminated only when it has not.
 */
export function spawnThread(
  plan: WorkerPlan,
  memory: FlowMemory,
  options: SpawnOptions,
  events: WorkerEvents,
): WorkerHandle {
  const { control, payloads, bells } = memory
  const init: WorkerInit = {
    ...plan,
    memory: {
      controlFd: control.fd,
      controlBytes: control.byteLength,
      controlAddress: control.address,
      payloadFd: payloads.fd,
      payloadBytes: payloads.byteLength,
      payloadAddress: payloads.address,
      ownBell: bells[plan.actor]!.read,
      bells: bells.map(({ write }) => write),
    },
    parentPid: undefined,
  }
  const worker = new Worker(entryUrl('thread-entry'), {
    env: { ...inheritedEnv(), ...options.env },
    stdout: true,
    stderr: true,
    ...(options.execArgv === undefined ? {} : { execArgv: [...options.execArgv] }),
    ...(options.resourceLimits === undefined ? {} : { resourceLimits: options.resourceLimits }),
  })
  let isReady = false
  let grace: NodeJS.Timeout | undefined
  worker.on('message', (message: WorkerMessage) => {
    if (grace !== undefined && message.type === 'ready') return
    isReady ||= message.type === 'ready'
    events.onMessage(message)
  })
  worker.on('error', (error: unknown) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    events.onOutput('stderr', `${text}\n`)
    // The thread could not say so itself when it ran out of memory.
    events.onMessage({ type: 'fatal', report: encodeReport({ err: error }) })
  })
  worker.on('exit', (code) => {
    clearTimeout(grace)
    events.onExit({ code, signal: undefined })
  })
  worker.stdout.setEncoding('utf8').on('data', (text: string) => events.onOutput('stdout', text))
  worker.stderr.setEncoding('utf8').on('data', (text: string) => events.onOutput('stderr', text))
  const send = (message: ParentMessage): void => worker.postMessage(message)
  sendInit(send, init, events)
  return {
    pid: process.pid,
    send,
    kill: () => {
      if (grace !== undefined) return
      send({ type: 'end' })
      const patience = isReady ? GRACE_OF_READY : GRACE_OF_STARTING
      grace = setTimeout(() => void worker.terminate(), patience)
    },
  }
}
