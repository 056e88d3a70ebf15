import { Worker } from 'node:worker_threads'
import { libc } from '../memory/libc.ts'
import type { WorkerInit, WorkerMessage } from '../transport/protocol.ts'
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

/** Starts a worker thread on the parent's own mapping. */
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
  worker.on('message', (message) => events.onMessage(message as WorkerMessage))
  worker.on('error', (error: unknown) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    events.onOutput('stderr', `${text}\n`)
    // The thread could not say so itself when it ran out of memory.
    events.onMessage({ type: 'fatal', report: encodeReport({ err: error }) })
  })
  worker.on('exit', (code) => events.onExit({ code, signal: undefined }))
  worker.stdout.setEncoding('utf8').on('data', (text: string) => events.onOutput('stdout', text))
  worker.stderr.setEncoding('utf8').on('data', (text: string) => events.onOutput('stderr', text))
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
      // The thread closes its bell when it ends; the flow's own end must outlive it.
      ownBell: libc().dup(bells[plan.actor]!.read),
      bells: bells.map(({ write }) => write),
    },
    parentPid: undefined,
  }
  worker.postMessage({ type: 'init', init })
  return {
    pid: process.pid,
    send: (message) => worker.postMessage(message),
    kill: () => void worker.terminate(),
  }
}
