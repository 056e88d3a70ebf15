import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'

/** A body that becomes larger, then much smaller: what each step makes takes the place of what it got. */
export class ResizeTask extends BaseTask {
  readonly seed: number
  body?: Uint8Array
  decoded?: Uint8Array
  features?: Uint8Array
  report?: Uint8Array
  constructor(seed: number, body: Uint8Array) {
    super()
    this.seed = seed
    this.body = body
  }
}

export const DECODED = 2 // times the body
export const FEATURES = 1 / 16 // of what was decoded
export const REPORT_BYTES = 96 * 1024

/** The ends of a payload carry the seed of its task: whoever reads another's finds another number. */
export function sign(bytes: Uint8Array, seed: number): Uint8Array {
  bytes[0] = bytes[bytes.length - 1] = seed & 0xff
  return bytes
}

export function check(bytes: Uint8Array | undefined, seed: number, length: number): void {
  const ends = [bytes?.[0], bytes?.at(-1)]
  if (bytes?.length !== length || ends.some((end) => end !== (seed & 0xff)))
    throw new Error(
      `task ${seed} has ${bytes?.length} bytes with ${ends.join(' and ')} at the ends`,
    )
}

export class Decode extends BaseTaskHandler<ResizeTask> {
  static readonly url = import.meta.url
  static readonly task = ResizeTask
  handle(tasks: readonly ResizeTask[]): void {
    for (const task of tasks) {
      const { length } = task.body!
      check(task.body, task.seed, length)
      task.decoded = sign(new Uint8Array(length * DECODED), task.seed)
      delete task.body
    }
  }
}

export class Reduce extends BaseTaskHandler<ResizeTask> {
  static readonly url = import.meta.url
  static readonly task = ResizeTask
  handle(tasks: readonly ResizeTask[]): void {
    for (const task of tasks) {
      const { length } = task.decoded!
      check(task.decoded, task.seed, length)
      task.features = sign(new Uint8Array(Math.ceil(length * FEATURES)), task.seed)
      delete task.decoded
    }
  }
}

export class Report extends BaseTaskHandler<ResizeTask> {
  static readonly url = import.meta.url
  static readonly task = ResizeTask
  handle(tasks: readonly ResizeTask[]): void {
    for (const task of tasks) {
      check(task.features, task.seed, task.features!.length)
      task.report = sign(new Uint8Array(REPORT_BYTES), task.seed)
    }
  }
}
