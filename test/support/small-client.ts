import { Client } from '../../src/client/client.ts'
import type { Finished } from '../../src/client/results.ts'
import { libc } from '../../src/memory/libc.ts'
import { createBell } from '../../src/transport/bells.ts'
import type { Control } from '../../src/transport/control.ts'
import type { RecordedTimings } from '../../src/transport/task-table.ts'

/** What a task came to. `timesSettled` is 1 once it is over, and stays so. */
export interface Outcome {
  timesSettled: number
  finished: Finished | undefined
  timings: RecordedTimings | undefined
  error: unknown
}

interface SmallClientOptions {
  readonly payloadThreshold: number
  readonly stepNames: readonly string[]
}

function silentBell(): number {
  const { read, write } = createBell()
  libc().close(write)
  return read
}

/** A client of a `SmallFlow`, with the program that uses it. */
export class SmallClient {
  readonly client: Client
  readonly control: Control
  readonly outcomes = new Map<object, Outcome>()

  /** @param bell - read end of the bell at which it sleeps; one that nobody rings by default. */
  constructor(
    control: Control,
    { payloadThreshold, stepNames }: SmallClientOptions,
    bell: number = silentBell(),
  ) {
    this.control = control
    this.client = new Client(control, {
      maxPending: 100,
      payloadThreshold,
      spin: 0,
      bell,
      conditions: stepNames.map(() => undefined),
      stepNames,
      onSettled: (task, finished, timings) => {
        const outcome = this.outcomes.get(task)!
        outcome.timesSettled++
        outcome.finished = finished
        outcome.timings = timings
      },
    })
  }

  submit<Task extends object>(
    task: Task,
    timeout = Infinity,
    signal?: AbortSignal,
    priority = 0,
  ): Task {
    const outcome: Outcome = {
      timesSettled: 0,
      finished: undefined,
      timings: undefined,
      error: undefined,
    }
    this.outcomes.set(task, outcome)
    this.client.submit(task, 0, { timeout, priority, signal }).catch((error: unknown) => {
      outcome.error = error
    })
    return task
  }

  /** Whether the task was finished, and not failed, withdrawn or lost. */
  isCompleted(task: object): boolean {
    return this.outcomes.get(task)!.finished !== undefined
  }

  /** Releases all results, as the program would. */
  release(): void {
    for (const { finished } of this.outcomes.values())
      if (finished !== undefined) finished.results.release(finished.buffers)
  }

  /** The client is heard of no more; what it left in the flow's memory stays there. */
  close(): void {
    this.client.close(() => undefined)
  }
}
