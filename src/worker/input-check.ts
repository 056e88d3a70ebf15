import { InputWrittenError } from '../errors.ts'
import type { Leases } from '../memory/leases.ts'

/** A payload as it was before the handler was called. */
interface Input {
  readonly task: object
  /** Where in the task it was found. */
  readonly field: string
  readonly payload: ArrayBuffer
  readonly copy: Uint8Array
}

/** Finds handlers that write into payloads in shared memory without saying so. For tests: it copies them all. */
export class InputCheck {
  readonly #leases: Leases
  readonly #step: string
  readonly #handler: string

  constructor(leases: Leases, step: string, handler: string) {
    this.#leases = leases
    this.#step = step
    this.#handler = handler
  }

  /** Copies what a handler is about to get. */
  copy(tasks: readonly object[]): readonly Input[] {
    return tasks.flatMap((task) => {
      const inputs: Input[] = []
      for (const { payload, path } of payloadsIn(task, '')) {
        if (this.#leases.rangeOf(payload) === undefined) continue
        const copy = new Uint8Array(payload as ArrayBuffer).slice()
        inputs.push({ task, field: path, payload: payload as ArrayBuffer, copy })
      }
      return inputs
    })
  }

  /** What is wrong with what the handler has left, as an error; `thrown` is what it threw. */
  compare(inputs: readonly Input[], thrown?: unknown): InputWrittenError | undefined {
    const written = inputs.find(
      // What was moved away cannot be looked at; its block is put out of use anyway.
      ({ payload, copy }) =>
        !payload.detached && Buffer.compare(new Uint8Array(payload), copy) !== 0,
    )
    if (written === undefined) return undefined
    const { task, field } = written
    const [step, handler] = [this.#step, this.#handler]
    return new InputWrittenError(
      { step, handler, task: task.constructor.name, field },
      { cause: thrown },
    )
  }
}

interface Found {
  readonly payload: ArrayBufferLike
  readonly path: string
}

/** All binary data in a task: plain data without cycles, as it was decoded. */
function* payloadsIn(value: unknown, path: string): Generator<Found> {
  if (typeof value !== 'object' || value === null) return
  if (value instanceof ArrayBuffer) yield { payload: value, path }
  else if (ArrayBuffer.isView(value)) yield { payload: value.buffer, path }
  else if (value instanceof Map || value instanceof Set) {
    for (const [key, inner] of value.entries())
      yield* payloadsIn(inner, `${path}[${typeof key === 'object' ? '…' : String(key)}]`)
  } else {
    for (const [key, inner] of Object.entries(value)) {
      const step = Array.isArray(value) ? `[${key}]` : path === '' ? key : `.${key}`
      yield* payloadsIn(inner, path + step)
    }
  }
}
