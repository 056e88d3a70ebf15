import { channel, tracingChannel } from 'node:diagnostics_channel'
import { AqueductError, type AqueductErrorCode } from './errors.ts'
import type { FlowState, ProcessOptions } from './flow-options.ts'
import type { Death } from './runtime/seat.ts'
import type { WorkerOrigin } from './transport/protocol.ts'

/** What every message on a channel says: whose it is. */
export interface FlowMessage {
  /** The `Flow` itself, or the `FlowClient`. */
  readonly flow: object
}

/** A flow, or a client of one, has entered another state. */
export interface FlowStateMessage extends FlowMessage {
  readonly state: FlowState
  readonly previous: FlowState
}

/** Which worker of a flow something happened to. */
export interface WorkerEventMessage extends FlowMessage {
  /** Name of the step. */
  readonly step: string
  /** Name of the handler's class. */
  readonly handler: string
  /** Index of the worker among those of its step. */
  readonly worker: number
  readonly pid: number
}

/** A worker has ended. */
export interface WorkerExitMessage extends WorkerEventMessage {
  readonly code: number | undefined
  readonly signal: string | undefined
  /** What the worker said that it died of. */
  readonly error: Error | undefined
  /** Whether somebody had asked it to: the flow stops, or the step was reloaded. */
  readonly isExpected: boolean
}

/** A process has attached to the flow, or has gone. */
export interface ClientMessage extends FlowMessage {
  /** Number of the client. */
  readonly client: number
  readonly pid: number
}

/** A task was not let in. */
export interface RefusalMessage extends FlowMessage {
  readonly task: object
  readonly error: Error
}

/** The tasks or bodies of this process have begun to wait for shared memory, or have ceased to. */
export interface MemoryPressureMessage extends FlowMessage {
  readonly isWaiting: boolean
}

/** What is published on which channel of `node:diagnostics_channel`. */
export interface DiagnosticsMessages {
  'aqueduct:flow:state': FlowStateMessage
  'aqueduct:worker:start': WorkerEventMessage
  'aqueduct:worker:ready': WorkerEventMessage
  'aqueduct:worker:exit': WorkerExitMessage
  /** The worker that has ended is being replaced. */
  'aqueduct:worker:restart': WorkerEventMessage
  'aqueduct:client:attach': ClientMessage
  'aqueduct:client:detach': ClientMessage
  'aqueduct:task:refuse': RefusalMessage
  'aqueduct:memory:pressure': MemoryPressureMessage
}

/** What the tracing channel `aqueduct:process` says of a call of `process()`. */
export interface ProcessTrace extends FlowMessage {
  readonly task: object
  readonly options: ProcessOptions
  /** From `error` on, when the call has failed. */
  error?: Error
}

/** What the tracing channel `aqueduct:reload` says of a call of `reload()`. */
export interface ReloadTrace extends FlowMessage {
  /** Name of the step. */
  readonly step: string
  /** From `error` on, when the call has failed. */
  error?: Error
}

const channels = {
  'aqueduct:flow:state': channel('aqueduct:flow:state'),
  'aqueduct:worker:start': channel('aqueduct:worker:start'),
  'aqueduct:worker:ready': channel('aqueduct:worker:ready'),
  'aqueduct:worker:exit': channel('aqueduct:worker:exit'),
  'aqueduct:worker:restart': channel('aqueduct:worker:restart'),
  'aqueduct:client:attach': channel('aqueduct:client:attach'),
  'aqueduct:client:detach': channel('aqueduct:client:detach'),
  'aqueduct:task:refuse': channel('aqueduct:task:refuse'),
  'aqueduct:memory:pressure': channel('aqueduct:memory:pressure'),
} satisfies Record<keyof DiagnosticsMessages, unknown>

const reloads = tracingChannel<ReloadTrace>('aqueduct:reload')

/** What a flow, or a client of one, publishes of itself. */
export class Diagnostics {
  readonly #flow: object

  constructor(flow: object) {
    this.#flow = flow
  }

  state(state: FlowState, previous: FlowState): void {
    this.#publish('aqueduct:flow:state', { state, previous })
  }

  workerStart(worker: WorkerOrigin): void {
    this.#publish('aqueduct:worker:start', originOf(worker))
  }

  workerReady(worker: WorkerOrigin): void {
    this.#publish('aqueduct:worker:ready', originOf(worker))
  }

  workerExit(death: Death, isExpected: boolean): void {
    const { code, signal, error } = death
    this.#publish('aqueduct:worker:exit', { ...originOf(death), code, signal, error, isExpected })
  }

  workerRestart(worker: WorkerOrigin): void {
    this.#publish('aqueduct:worker:restart', originOf(worker))
  }

  attach(client: number, pid: number): void {
    this.#publish('aqueduct:client:attach', { client, pid })
  }

  detach(client: number, pid: number): void {
    this.#publish('aqueduct:client:detach', { client, pid })
  }

  /** Whether anybody wants to know of {@link memoryPressure}. */
  get isMemoryWatched(): boolean {
    return channels['aqueduct:memory:pressure'].hasSubscribers
  }

  memoryPressure(isWaiting: boolean): void {
    this.#publish('aqueduct:memory:pressure', { isWaiting })
  }

  reload(step: string, reload: () => Promise<void>): Promise<void> {
    return reloads.tracePromise(reload, { flow: this.#flow, step })
  }

  #publish<Name extends keyof DiagnosticsMessages>(
    name: Name,
    message: Omit<DiagnosticsMessages[Name], 'flow'>,
  ): void {
    if (channels[name].hasSubscribers) channels[name].publish({ flow: this.#flow, ...message })
  }
}

const originOf = ({ step, handler, worker, pid }: WorkerOrigin): WorkerOrigin => ({
  step,
  handler,
  worker,
  pid,
})

const processes = tracingChannel<ProcessTrace>('aqueduct:process')
const refusals = channels['aqueduct:task:refuse']

/** Whether anybody wants to know of each task. */
export const areTasksWatched = (): boolean => processes.hasSubscribers || refusals.hasSubscribers

/** A call of `process()` that somebody watches. */
export function watchProcess<Task extends object>(
  { flow, task, options }: ProcessTrace & { readonly task: Task },
  process: () => Promise<Task>,
): Promise<Task> {
  const outcome = processes.tracePromise(process, { flow, task, options })
  if (refusals.hasSubscribers) {
    outcome.catch((error: unknown) => {
      if (isRefusal(error)) refusals.publish({ flow, task, error } satisfies RefusalMessage)
    })
  }
  return outcome
}

const REFUSALS: readonly AqueductErrorCode[] = ['AQ_QUEUE_FULL', 'AQ_NOT_RUNNING']

/** Whether a flow says with the error that it does not want the task now. */
const isRefusal = (error: unknown): error is AqueductError =>
  AqueductError.is(error) && REFUSALS.includes(error.code)
