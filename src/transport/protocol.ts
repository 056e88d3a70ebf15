import type { FlowShape } from './control.ts'

/** What travels over a worker's control channel: plain data, not on the hot path. */

/** All that a worker needs to begin. */
export interface WorkerInit {
  readonly shape: FlowShape
  readonly actor: number
  readonly step: number
  /** Index of the worker among those of its step. */
  readonly worker: number
  readonly stepName: string
  readonly handler: HandlerAddress
  /** For each class of the flow's tasks the index of the class in the handler's `task` that stands for it, or -1. */
  readonly taskClasses: readonly number[]
  /** Per step of the flow, the name of the task's method that says whether it wants the step. */
  readonly conditions: readonly (string | undefined)[]
  readonly batchSize: number
  /** Milliseconds. */
  readonly batchTimeout: number
  readonly concurrency: number
  readonly payloadThreshold: number
  /** Milliseconds to look for work before going to sleep; 0 never. */
  readonly spin: number
  readonly memory: MemoryAddress
  /** Process id of the parent that the worker must not outlive; undefined for a thread. */
  readonly parentPid: number | undefined
}

/** Where a worker finds its handler. */
export interface HandlerAddress {
  readonly url: string
  readonly className: string
  readonly args: readonly unknown[]
}

/** Where a worker finds the flow's memory and bells: file descriptors, and for threads the addresses too. */
interface MemoryAddress {
  readonly controlFd: number
  readonly controlBytes: number
  readonly controlAddress: number | undefined
  readonly payloadFd: number
  readonly payloadBytes: number
  readonly payloadAddress: number | undefined
  /** Read end of the worker's own bell; the worker closes it at its end. */
  readonly ownBell: number
  /** Write ends of all bells, by actor. */
  readonly bells: readonly number[]
}

export type ParentMessage =
  | { readonly type: 'init'; readonly init: WorkerInit }
  | { readonly type: 'stop' }

/** How a worker's start failed, so that the parent can throw the error that fits. */
export type StartFailure = 'handler' | 'flow-in-worker' | 'start'

export type WorkerMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly failure: StartFailure; readonly error: ErrorRecord }

/** An error as plain data. */
export interface ErrorRecord {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly code: string | undefined
}

export function toErrorRecord(value: unknown): ErrorRecord {
  if (!(value instanceof Error))
    return { name: 'Error', message: String(value), stack: undefined, code: undefined }
  const code: unknown = 'code' in value ? value.code : undefined
  return {
    name: value.name,
    message: value.message,
    stack: value.stack,
    code: typeof code === 'string' ? code : undefined,
  }
}

export function fromErrorRecord(record: ErrorRecord): Error {
  const error = new Error(record.message)
  Object.defineProperty(error, 'name', { value: record.name, configurable: true, writable: true })
  if (record.stack !== undefined) error.stack = record.stack
  if (record.code !== undefined) Object.assign(error, { code: record.code })
  return error
}
