import {
  CodecError,
  HandlerError,
  HandlerTimeoutError,
  InputWrittenError,
  InvalidTaskError,
  OutOfMemoryError,
  PayloadTooLargeError,
  PoisonedTaskError,
  TaskCancelledError,
  TaskTimeoutError,
  WorkerDiedError,
  type WrittenInput,
} from '../errors.ts'
import { FieldDecoder } from '../transport/codec.ts'
import type { Control } from '../transport/control.ts'
import { readFields } from '../transport/fields.ts'
import {
  OUTCOME_FAILED,
  OUTCOME_POISONED,
  OUTCOME_TIMED_OUT,
  OUTCOME_WORKER_DIED,
} from '../transport/task-table.ts'
import type { Pending } from './pending.ts'
import type { Finished, Results } from './results.ts'

/** Reads the outcome of a task out of a slot that is DONE. */
export class OutcomeReader {
  readonly #control: Control
  readonly #results: Results
  readonly #stepNames: readonly string[]
  readonly #deathCause: (number: number) => Error | undefined
  readonly #decoder = new FieldDecoder()
  readonly #withoutBuffers: Finished

  constructor(
    control: Control,
    results: Results,
    stepNames: readonly string[],
    deathCause: (number: number) => Error | undefined,
  ) {
    this.#control = control
    this.#results = results
    this.#withoutBuffers = { buffers: [], results }
    this.#stepNames = stepNames
    this.#deathCause = deathCause
  }

  /** Fills the caller's task in. */
  readResult(slot: number, generation: number, task: object): Finished {
    this.#decodeInto(task, slot, generation)
    const buffers = this.#results.takeOpened()
    return buffers.length === 0 ? this.#withoutBuffers : { buffers, results: this.#results }
  }

  readError(slot: number, generation: number, outcome: number, pending: Pending): Error {
    switch (outcome) {
      case OUTCOME_TIMED_OUT:
        return new TaskTimeoutError(pending.timeout)
      case OUTCOME_WORKER_DIED:
        return this.#readDeath(slot, WorkerDiedError)
      case OUTCOME_POISONED:
        return this.#readDeath(slot, PoisonedTaskError)
      case OUTCOME_FAILED:
        return this.#readHandlerError(slot, generation)
      default:
        return new TaskCancelledError(pending.signal?.reason)
    }
  }

  #readDeath(slot: number, Death: typeof WorkerDiedError | typeof PoisonedTaskError): Error {
    const { tasks, deaths } = this.#control
    const number = tasks.detail(slot)
    const { step, pid, code, signal, handleTimeout } = deaths.get(number)
    const name = this.#stepNames[step] ?? 'unknown'
    if (handleTimeout !== Infinity) return new HandlerTimeoutError(name, pid, handleTimeout)
    return new Death(name, pid, code, signal, { cause: this.#deathCause(number) })
  }

  #readHandlerError(slot: number, generation: number): Error {
    const step = this.#stepNames[this.#control.tasks.detail(slot)] ?? 'unknown'
    const failure: { error?: unknown; handler?: string; worker?: number; pid?: number } = {}
    this.#decodeInto(failure, slot, generation)
    const { error, ...origin } = failure
    return refusalOf(error) ?? new HandlerError(step, error, origin)
  }

  #decodeInto(target: object, slot: number, generation: number): void {
    this.#results.beginOpening(slot)
    readFields(this.#control, this.#decoder, slot, generation, target, this.#results, true)
  }
}

/** The library's own refusals come back as what they were. */
function refusalOf(cause: unknown): Error | undefined {
  if (!(cause instanceof Error) || !('code' in cause)) return undefined
  const { code, message } = cause
  const { path, bytes, maxBytes } = cause as { path?: unknown; bytes?: unknown; maxBytes?: unknown }
  switch (code) {
    case 'AQ_UNSERIALIZABLE':
    case 'AQ_CORRUPT':
      return new CodecError(code, message, typeof path === 'string' ? path : '', { cause })
    case 'AQ_PAYLOAD_TOO_LARGE':
      return new PayloadTooLargeError(Number(bytes), Number(maxBytes))
    case 'AQ_OUT_OF_MEMORY':
      return new OutOfMemoryError(message)
    case 'AQ_INVALID_TASK':
      return new InvalidTaskError(message)
    case 'AQ_INPUT_WRITTEN':
      // What the worker's error of that code brings.
      return new InputWrittenError(cause as unknown as WrittenInput, { cause: cause.cause })
    default:
      return undefined
  }
}
