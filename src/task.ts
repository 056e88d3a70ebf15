import type { Finished } from './client/outcome-reader.ts'
import type { Claim } from './worker/batcher.ts'
import type { Callers } from './worker/callers.ts'

/** Where the time of a finished task went at one step. */
export interface StepTimings {
  /** Name of the step. */
  readonly step: string
  /** Milliseconds in the step's queue. */
  readonly queueMs: number
  /** Milliseconds from there until its batch was handed to the handler. */
  readonly batchMs: number
  /** Milliseconds that the handler took for the batch. */
  readonly handleMs: number
  /** Tasks in that batch. */
  readonly batchSize: number
}

/** Where the time of a finished task went. */
export interface TaskTimings {
  /** Milliseconds from `process()` to its outcome. */
  readonly totalMs: number
  /** The steps that handled the task, in order. */
  readonly steps: readonly StepTimings[]
}

/** Keys of T that hold typed arrays, Buffers, DataViews or ArrayBuffers. */
export type BinaryField<T> = {
  [K in keyof T]-?: NonNullable<T[K]> extends ArrayBuffer | ArrayBufferView ? K : never
}[keyof T]

/**
 * What travels through a flow: a class of yours whose own fields are plain data. In a worker a task has the prototype of
 * its class and its fields; the constructor does not run there and `#private` state does not travel.
 *
 * Binary fields of 32 KiB and more lie in shared memory when the caller gets them back. They are released with the
 * task: by `using`, by {@link BaseTask.release}, or by the garbage collector.
 *
 * @example
 * ```ts
 * import { BaseTask } from 'aqueduct-ts'
 *
 * class SumTask extends BaseTask {
 *   readonly number: number
 *   sum?: number
 *   constructor(number: number) {
 *     super()
 *     this.number = number
 *   }
 * }
 * ```
 */
export abstract class BaseTask implements Disposable {
  #inFlight = false
  #finished: Finished | undefined
  #stepNames: readonly string[] = []
  /** In a worker: what its handler has in its hands. */
  #callers: Callers | undefined
  #claim: Claim | undefined

  /** Where the time went when the task was last finished; undefined before, and in a flow without `metrics`. */
  get timings(): TaskTimings | undefined {
    const timings = this.#finished?.timings
    if (timings === undefined) return undefined
    const steps: StepTimings[] = []
    const [totalMs = 0, ...recorded] = timings
    this.#stepNames.forEach((step, index) => {
      const [queueMs, batchMs, handleMs, batchSize] = recorded.slice(index * 4) as Recorded
      if (batchSize === 0) return
      steps.push({
        step,
        queueMs: toMicroseconds(queueMs),
        batchMs: toMicroseconds(batchMs),
        handleMs: toMicroseconds(handleMs),
        batchSize,
      })
    })
    return { totalMs: toMicroseconds(totalMs), steps }
  }

  /**
   * In a handler: whether nobody waits for the task any more, since its signal was aborted, its deadline has passed or
   * its client has ended. It is read from shared memory at every call, so that also a handler that blocks its event loop
   * sees it, and can spare itself the rest. Anywhere else false.
   *
   * @example
   * ```ts
   * import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'
   *
   * export class BookTask extends BaseTask {
   *   pages: string[] = []
   *   readonly words: number[] = []
   * }
   *
   * export class WordHandler extends BaseTaskHandler<BookTask> {
   *   static readonly url = import.meta.url
   *   static readonly task = BookTask
   *   handle(tasks: readonly BookTask[]): void {
   *     for (const task of tasks) {
   *       for (const page of task.pages) {
   *         if (task.isCancelled) break
   *         task.words.push(page.split(' ').length)
   *       }
   *     }
   *   }
   * }
   * ```
   */
  get isCancelled(): boolean {
    return this.#claim !== undefined && this.#callers?.hasGone(this.#claim) === true
  }

  /**
   * Copies a binary field out of shared memory, puts the copy in its place and returns it: it stays valid after
   * {@link BaseTask.release}.
   */
  take<K extends BinaryField<this>>(field: K): this[K] {
    const value: unknown = this[field]
    const copy = copyOf(value)
    if (copy === undefined) throw new TypeError(`the field ${String(field)} holds no binary data`)
    this[field] = copy as this[K]
    return this[field]
  }

  /** Gives the task's shared memory back. Its binary fields are empty afterwards, whoever still holds them. */
  release(): void {
    const finished = this.#finished
    finished?.results.release(finished.buffers)
  }

  [Symbol.dispose](): void {
    this.release()
  }

  /** @internal */
  static claimed(task: BaseTask, callers: Callers, claim: Claim): void {
    task.#callers = callers
    task.#claim = claim
  }

  /** @internal */
  static begin(task: BaseTask): boolean {
    if (task.#inFlight) return false
    task.#inFlight = true
    return true
  }

  /** @internal */
  static end(task: BaseTask, finished: Finished | undefined, stepNames: readonly string[]): void {
    task.#inFlight = false
    // After a failure the fields are those of before, and so is the memory in which they lie.
    if (finished === undefined) return
    task.#finished = finished
    task.#stepNames = stepNames
  }
}

/** A class of tasks. */
export type TaskClassOf<Task extends BaseTask> = abstract new (...args: never[]) => Task

/** What {@link RecordedTimings} have of a step. */
type Recorded = [queueMs: number, batchMs: number, handleMs: number, batchSize: number]

/** Milliseconds to the microsecond: the clock knows no better. */
const toMicroseconds = (milliseconds: number): number => Math.round(milliseconds * 1e3) / 1e3

function copyOf(value: unknown): ArrayBuffer | ArrayBufferView | undefined {
  if (value instanceof ArrayBuffer) return value.slice()
  if (Buffer.isBuffer(value)) return Buffer.from(value)
  if (value instanceof DataView) {
    return new DataView(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength))
  }
  if (ArrayBuffer.isView(value)) return (value as Uint8Array).slice()
  return undefined
}
