import type { FlowShape } from './control.ts'

/** What travels over a worker's control channel: plain data, not on the hot path. */

/** All that a worker needs to begin. */
export interface WorkerInit {
  readonly shape: FlowShape
  readonly actor: number
  readonly step: number
  /** Number of the worker's seat among those of its step. */
  readonly worker: number
  /** Index of the worker, as its handler knows it: while a step is reloaded, one of each generation has it. */
  readonly index: number
  readonly stepName: string
  readonly handler: HandlerAddress
  /** For each class of the flow's tasks its name, and the index in the handler's `task` of what stands for it, or -1. */
  readonly taskClasses: readonly { readonly name: string; readonly index: number }[]
  /** Per step of the flow, the name of the task's method that says whether it wants the step. */
  readonly conditions: readonly (string | undefined)[]
  readonly batchSize: number
  /** Milliseconds. */
  readonly batchTimeout: number
  /** What becomes of a batch whose handler throws. */
  readonly onBatchError: 'split' | 'fail'
  readonly concurrency: number
  /** Milliseconds that `handle` may take. */
  readonly handleTimeout: number
  /** Bytes of its own beyond which the worker is to be replaced. */
  readonly maxMemory: number
  readonly payloadThreshold: number
  /** Milliseconds to look for work before going to sleep; 0 never. */
  readonly spin: number
  /** Whether to look for handlers that write into their input and do not say so. */
  readonly checkInputs: boolean
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
  /** The worker is to finish its batches, and then to end. */
  | { readonly type: 'stop' }
  /** The worker is to end at once, whatever it is at. Threads alone are asked: a process is killed. */
  | { readonly type: 'end' }

/** How a worker's start failed, so that the parent can throw the error that fits. */
export type StartFailure = 'handler' | 'flow-in-worker' | 'start'

/** How much a log record matters. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** A record of a worker's log. */
export interface LogRecord {
  readonly level: LogLevel
  readonly message: string
  /** Its data, a report. */
  readonly data: Uint8Array
}

/** Which worker something was said by, or of. */
export interface WorkerOrigin {
  /** Name of the step. */
  readonly step: string
  /** Name of the handler's class. */
  readonly handler: string
  /** Index of the worker among those of its step. */
  readonly worker: number
  readonly pid: number
}

/** Reports are the bytes of `encodeReport()`; errors are their `err`. */
export type WorkerMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly failure: StartFailure; readonly report: Uint8Array }
  | ({ readonly type: 'log' } & LogRecord)
  /** The worker has more memory of its own than it may. */
  | { readonly type: 'outgrown'; readonly bytes: number }
  /** The error that nobody has caught, and of which the worker is about to die. */
  | { readonly type: 'fatal'; readonly report: Uint8Array }
