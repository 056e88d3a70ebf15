import { crc32 } from 'node:zlib'
import { BaseTask, BaseTaskHandler } from '../index.ts'

/** Names of the steps, in their order. */
export const steps = ['Reverse', 'Sum', 'Label'] as const

/** What harm a task does, and at which step. */
export interface Poison {
  readonly step: (typeof steps)[number]
  readonly how: 'throw' | 'exit' | 'crash' | 'kill' | 'hang'
}

/** A payload that is reversed, summed up and, for every other task, labelled. */
export class BuiltInTask extends BaseTask {
  readonly id: number
  /** Where its payload was taken from. */
  readonly offset: number
  readonly size: number
  readonly poison: Poison | undefined
  payload: Uint8Array
  reversed?: Uint8Array
  sum?: number
  label?: string
  /** Of the workers that have handled it, step by step. */
  readonly pids: number[] = []

  constructor(id: number, payload: Uint8Array, offset: number, poison: Poison | undefined) {
    super()
    this.id = id
    this.payload = payload
    this.size = payload.length
    this.offset = offset
    this.poison = poison
  }

  wantsLabel(): boolean {
    return this.id % 2 === 1 || this.poison?.step === 'Label'
  }
}

/** Does to its worker what a task is made to do. */
function suffer({ id, poison }: BuiltInTask): void {
  if (poison === undefined) return
  const ways: Readonly<Record<Poison['how'], () => void>> = {
    throw: () => {
      throw new Error(`task ${id} is poisoned`)
    },
    exit: () => process.exit(9),
    crash: () => process.kill(process.pid, 'SIGSEGV'), // as in native code; without the report that abort() prints
    kill: () => process.kill(process.pid, 'SIGKILL'),
    hang: () => {
      for (;;);
    },
  }
  ways[poison.how]()
}

/**
 * What a handler does with the bytes is done by native code: a loop here would run twice as fast in one worker as in the
 * next, as V8 has optimized it, and throughput before and after could not be compared.
 */
abstract class BuiltInHandler extends BaseTaskHandler<BuiltInTask> {
  handle(tasks: readonly BuiltInTask[]): void {
    for (const task of tasks) {
      if (task.poison?.step === this.constructor.name) suffer(task)
      this.work(task)
      task.pids.push(process.pid)
    }
  }

  abstract work(task: BuiltInTask): void
}

export class Reverse extends BuiltInHandler {
  static readonly url: string = import.meta.url
  static readonly task: typeof BuiltInTask = BuiltInTask

  work(task: BuiltInTask): void {
    task.reversed = new Uint8Array(task.payload).toReversed()
  }
}

export class Sum extends BuiltInHandler {
  static readonly url: string = import.meta.url
  static readonly task: typeof BuiltInTask = BuiltInTask

  work(task: BuiltInTask): void {
    task.sum = crc32(task.reversed!)
  }
}

export class Label extends BuiltInHandler {
  static readonly url: string = import.meta.url
  static readonly task: typeof BuiltInTask = BuiltInTask

  work(task: BuiltInTask): void {
    task.label = `${task.id}: ${task.sum}`
  }
}
