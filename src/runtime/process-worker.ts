import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ParentMessage, WorkerInit, WorkerMessage } from '../transport/protocol.ts'
import type { FlowMemory } from './memory-files.ts'
import {
  type SpawnOptions,
  type WorkerEvents,
  type WorkerHandle,
  type WorkerPlan,
  entryUrl,
  inheritedEnv,
  inheritedExecArgv,
  sendInit,
} from './worker-handle.ts'

/** Number of the first descriptor after stdin, stdout, stderr and the control channel. */
const FIRST_FD = 4

/** Starts a worker process. It inherits the memory files and the bells as descriptors. */
export function spawnProcess(
  plan: WorkerPlan,
  memory: FlowMemory,
  options: SpawnOptions,
  events: WorkerEvents,
): WorkerHandle {
  const ownBell = memory.bells[plan.actor]!.read
  const bells = memory.bells.map(({ write }) => write)
  const child = spawn(
    process.execPath,
    [
      ...(options.execArgv ?? inheritedExecArgv()),
      ...heapFlags(options),
      fileURLToPath(entryUrl('process-entry')),
    ],
    {
      env: { ...inheritedEnv(), ...options.env },
      stdio: [
        'ignore',
        'pipe',
        'pipe',
        'ipc',
        memory.control.fd,
        memory.payloads.fd,
        ownBell,
        ...bells,
      ],
      serialization: 'advanced',
    },
  )
  let ended = false
  const end = (code: number | undefined, signal: string | undefined): void => {
    if (ended) return
    ended = true
    events.onExit({ code, signal })
  }
  child.on('message', (message) => events.onMessage(message as WorkerMessage))
  // What the worker said last comes before its exit: libuv reads what there is to read before it looks for signals.
  child.on('exit', (code, signal) => end(code ?? undefined, signal ?? undefined))
  child.on('error', () => {
    // Could not be started at all: there will be no exit.
    if (child.pid === undefined) end(undefined, undefined)
  })
  child.stdout?.setEncoding('utf8').on('data', (text: string) => events.onOutput('stdout', text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => events.onOutput('stderr', text))
  const init: WorkerInit = {
    ...plan,
    memory: {
      controlFd: FIRST_FD,
      controlBytes: memory.control.byteLength,
      controlAddress: undefined,
      payloadFd: FIRST_FD + 1,
      payloadBytes: memory.payloads.byteLength,
      payloadAddress: undefined,
      ownBell: FIRST_FD + 2,
      bells: bells.map((_, actor) => FIRST_FD + 3 + actor),
    },
    parentPid: process.pid,
  }
  const send = (message: ParentMessage): void => {
    // A worker that has just died cannot be told anything; its exit follows.
    if (child.connected) child.send(message, () => undefined)
  }
  sendInit(send, init, events)
  return { pid: child.pid ?? -1, send, kill: () => child.kill('SIGKILL') }
}

function heapFlags({ resourceLimits }: SpawnOptions): string[] {
  const flags: string[] = []
  const old = resourceLimits?.maxOldGenerationSizeMb
  const young = resourceLimits?.maxYoungGenerationSizeMb
  const stack = resourceLimits?.stackSizeMb
  if (old !== undefined) flags.push(`--max-old-space-size=${old}`)
  // Three semi-spaces make up the young generation.
  if (young !== undefined) flags.push(`--max-semi-space-size=${Math.max(1, Math.round(young / 3))}`)
  if (stack !== undefined) flags.push(`--stack-size=${Math.round(stack * 1024)}`)
  return flags
}
