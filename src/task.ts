import type { BodySource } from './client/body-reader.ts'
import type { Finished } from './client/results.ts'
import type { RecordedTimings } from './transport/task-table.ts'
import type { Batch } from './worker/batch.ts'
import type { Claim } from './worker/batcher.ts'
import { InvalidTaskError } from './errors.ts'
import { type ShareFromOptions, SharedFields } from './share-from.ts'

export type { BodySource }

/** Where the time of a finished task went at one step. */
export interface StepTimings {
  /** Name of the step. */
  readonly step: string
  /** Milliseconds from `process()` until the task was in the step's queue. */
  readonly startMs: number
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
  /**
   * The trace that the task is part of, as a propagator of OpenTelemetry writes it (`traceparent`, …): it travels with the
   * task. There only while a flow that is traced has the task, see `traceFlows()` of `aqueduct-ts/opentelemetry`.
   */
  declare traceContext?: Readonly<Record<string, string>>
  #inFlight = false
  #finished: Finished | undefined
  #shared: SharedFields | undefined
  /** As they were recorded, until somebody asks. */
  #timings: TaskTimings | RecordedTimings | undefined
  #stepNames: readonly string[] = []
  /** In a worker: with what it came into its handler's hands. */
  #batch: Batch | undefined
  #claim: Claim | undefined

  /**
   * Where the time went when the task last came back from the flow: of one that has failed, at the steps that had it in
   * hand. Undefined before, in a flow without `metrics`, and when the caller got its error without waiting for a worker, as
   * at a deadline.
   */
  get timings(): TaskTimings | undefined {
    const timings = this.#timings
    if (timings === undefined || 'totalMs' in timings) return timings
    return (this.#timings = this.#read(timings))
  }

  #read(timings: RecordedTimings): TaskTimings {
    const steps: StepTimings[] = []
    const [totalMs, ...recorded] = timings
    this.#stepNames.forEach((step, index) => {
      const [queueMs, batchMs, handleMs, batchSize, startMs] = recorded.slice(index * 5) as Recorded
      if (batchSize === 0) return
      steps.push({
        step,
        startMs: toMicroseconds(startMs),
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
    return this.#claim !== undefined && this.#batch?.hasGone(this.#claim) === true
  }

  /**
   * In a handler: aborted when nobody waits for the task any more, see {@link BaseTask.isCancelled}; its `reason` is a
   * TaskCancelledError or a TaskTimeoutError. For what an async handler awaits: a handler that blocks its event loop asks
   * `isCancelled`. It costs nothing until it is asked for. Anywhere else it never fires.
   *
   * @example
   * ```ts
   * import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'
   *
   * export class PageTask extends BaseTask {
   *   url = ''
   *   text?: string
   * }
   *
   * export class PageHandler extends BaseTaskHandler<PageTask> {
   *   static readonly url = import.meta.url
   *   static readonly task = PageTask
   *   async handle(tasks: readonly PageTask[]): Promise<void> {
   *     await Promise.all(tasks.map((task) => this.#load(task).catch((error) => task.fail(error))))
   *   }
   *
   *   async #load(task: PageTask): Promise<void> {
   *     const answer = await fetch(task.url, { signal: task.abortSignal })
   *     task.text = await answer.text()
   *   }
   * }
   * ```
   */
  get abortSignal(): AbortSignal {
    if (this.#claim === undefined || this.#batch === undefined) return new AbortController().signal
    return this.#batch.signalOf(this.#claim)
  }

  /**
   * In a handler: fails this task and no other of its batch. Its caller's `process()` rejects with a HandlerError whose
   * `cause` is `error`, as if the handler had thrown it, and no later step sees the task. The first call counts, until the
   * handler has ended; like `reject` of a promise that is settled, a later one does nothing. When the handler throws
   * afterwards and its batch is handled again, that attempt decides anew.
   *
   * @throws InvalidTaskError - `AQ_NOT_IN_HANDLER`: the task is not in a handler.
   *
   * @example
   * ```ts
   * import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'
   *
   * export class ParseTask extends BaseTask {
   *   json = ''
   *   value: unknown
   * }
   *
   * export class ParseHandler extends BaseTaskHandler<ParseTask> {
   *   static readonly url = import.meta.url
   *   static readonly task = ParseTask
   *   handle(tasks: readonly ParseTask[]): void {
   *     for (const task of tasks) {
   *       try {
   *         task.value = JSON.parse(task.json)
   *       } catch (error) {
   *         task.fail(error)
   *       }
   *     }
   *   }
   * }
   * ```
   */
  fail(error: unknown): void {
    if (this.#claim === undefined || this.#batch === undefined) {
      throw new InvalidTaskError(
        'task.fail() is for the handler that has the task in its hands; elsewhere nobody would hear of it',
        'AQ_NOT_IN_HANDLER',
      )
    }
    this.#batch.fail(this.#claim, error)
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

  /**
   * Receives an HTTP body, or any other stream of bytes, into a binary field: straight into the shared memory of the
   * flow that will process the task, chunk by chunk as it arrives, so that the process needs no memory for it. Call it
   * before `flow.process(task)`, which then hands the memory over instead of copying it.
   *
   * `size` is what the body brings exactly, its `Content-Length`. `maxSize` is the most that it may bring, for bodies that
   * do not say (chunked, multipart): memory is taken as they grow, and no more of them are let in than could come to their
   * `maxSize` one after another, so choose it well below the flow's `memory`. With both, a `size` above `maxSize` is
   * refused at once.
   *
   * While there is no memory the stream is not read, and its sender has to wait. Nothing of what fails leaks, the field
   * keeps the value that it had, and **the stream is neither ended nor destroyed**: it stands where it was, paused, for
   * the application to answer. What becomes of the rest of a request is the application's to say: `request.resume()`
   * reads it and throws it away, which keeps the connection; `connection: close` in the answer ends it.
   *
   * A body below the flow's `payloadThreshold` lies in ordinary memory, as any small field does. So does every body where
   * shared memory cannot be guarded (Node 22, or a program that runs in a worker thread).
   *
   * @param field - an own field of the task, without a value yet or with binary data, which is replaced.
   * @param source - a Node stream, a web stream, or an async iterable of Uint8Arrays.
   * @throws BodyError - it ended too early, went on too long, was cut off, or is not binary.
   * @throws PayloadTooLargeError - it is larger than `maxSize`, or than all the memory that there is.
   * @throws TaskTimeoutError - it had not arrived within `timeout`. OutOfMemoryError - no memory came free within it.
   * @throws TaskCancelledError - `signal` was aborted, or the task released. FlowStoppedError - the flow was stopped.
   * @throws QueueFullError - as many bodies are arriving as tasks may be pending (`maxPending`).
   * @throws NotRunningError, InvalidTaskError, InvalidOptionError
   *
   * @example
   * ```ts
   * import { createServer } from 'node:http'
   * import { type AddressInfo } from 'node:net'
   * import { BaseTask, BaseTaskHandler, Flow, isFlowWorker } from 'aqueduct-ts'
   *
   * export class ImageTask extends BaseTask {
   *   image: Uint8Array = new Uint8Array(0)
   *   brightness?: number
   * }
   *
   * export class Brightness extends BaseTaskHandler<ImageTask> {
   *   static readonly url = import.meta.url
   *   static readonly task = ImageTask
   *   handle(tasks: readonly ImageTask[]): void {
   *     for (const task of tasks)
   *       task.brightness = task.image.reduce((sum, byte) => sum + byte, 0) / task.image.length
   *   }
   * }
   *
   * if (!isFlowWorker()) {
   *   const flow = new Flow([Brightness])
   *   await flow.start()
   *   const server = createServer(async (request, response) => {
   *     using task = new ImageTask()
   *     await task.shareFrom('image', request, { maxSize: 64 * 2 ** 20 })
   *     const { brightness } = await flow.process(task)
   *     response.end(String(brightness))
   *   })
   *   await new Promise<void>((listening) => server.listen(0, listening))
   *   const { port } = server.address() as AddressInfo
   *   const body = new Uint8Array(10 * 2 ** 20).fill(7)
   *   const answer = await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body })
   *   console.log(await answer.text()) // 7
   *   server.close()
   *   await flow.stop()
   * }
   * ```
   */
  async shareFrom<Field extends BinaryField<this>>(
    field: Field,
    source: BodySource,
    options: ShareFromOptions<this, NonNullable<this[Field]>>,
  ): Promise<void> {
    if (this.#inFlight) {
      throw new InvalidTaskError(
        'this task is being processed: a body can be shared before that, or after',
        'AQ_TASK_IN_FLIGHT',
      )
    }
    this.#shared ??= new SharedFields()
    await this.#shared.receive(this, field, source, options, (buffer) =>
      (this.#finished?.buffers ?? []).includes(buffer as ArrayBuffer),
    )
  }

  /**
   * Gives the task's shared memory back. Its binary fields are empty afterwards, whoever still holds them; bodies that
   * are still arriving are given up.
   */
  release(): void {
    const finished = this.#finished
    finished?.results.release(finished.buffers)
    this.#shared?.release()
  }

  [Symbol.dispose](): void {
    this.release()
  }

  /** @internal */
  static claimed(task: BaseTask, batch: Batch, claim: Claim): void {
    task.#batch = batch
    task.#claim = claim
  }

  /** @internal */
  static begin(task: BaseTask): boolean {
    if (task.#inFlight || task.#shared?.isArriving === true) return false
    task.#inFlight = true
    return true
  }

  /** @internal */
  static end(
    task: BaseTask,
    finished: Finished | undefined,
    timings: RecordedTimings | undefined,
    stepNames: readonly string[],
  ): void {
    task.#inFlight = false
    task.#timings = timings
    task.#stepNames = stepNames
    // After a failure the fields are those of before, and so is the memory in which they lie.
    if (finished !== undefined) task.#finished = finished
  }
}

/** A class of tasks. */
export type TaskClassOf<Task extends BaseTask> = abstract new (...args: never[]) => Task

/** What {@link RecordedTimings} have of a step. */
type Recorded = [
  queueMs: number,
  batchMs: number,
  handleMs: number,
  batchSize: number,
  startMs: number,
]

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
