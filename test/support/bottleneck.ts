import { Flow, type FlowOptions, FlowStep } from '../../src/index.ts'
import { PassingHandler, WorkHandler, WorkTask } from '../fixtures/work.ts'
import { Gate } from './flow-gate.ts'
import { type Isolation, started, until } from './flow.ts'

/** A task that was given to a flow, and when: somewhere between `before` and `after`. */
export interface Given {
  readonly task: WorkTask
  readonly priority: number
  readonly before: number
  readonly after: number
  /** How many tasks the bottleneck had started by then. */
  readonly startedBefore: number
}

/**
 * A flow one of whose steps has one worker that handles one task at a time, each until the test lets it go. What waits
 * in front of the step whenever the worker takes its next task is known exactly.
 */
export class Bottleneck implements AsyncDisposable {
  readonly flow: Flow<WorkTask>
  readonly given: Given[] = []
  readonly #gate: Gate
  readonly #step: number
  readonly #outcomes: Promise<WorkTask>[] = []
  #started = 0
  #isOpen = false

  private constructor(flow: Flow<WorkTask>, gate: Gate, step: number) {
    this.flow = flow
    this.#gate = gate
    this.#step = step
  }

  /** Its worker has taken a first task, of priority 0. */
  static async open(
    isolation: Isolation,
    steps: number,
    step: number,
    options: FlowOptions,
    queueSize = 1_000,
  ): Promise<Bottleneck> {
    const handlers = Array.from({ length: steps }, (_, index) =>
      index === step ? WorkHandler : PassingHandler,
    )
    const flow = new Flow(
      handlers.map((handler) => new FlowStep(handler, { isolation, queueSize })),
      options,
    )
    const bottleneck = new Bottleneck(await started(flow), await Gate.close(), step)
    bottleneck.give(0)
    await bottleneck.#gate.visited(++bottleneck.#started)
    return bottleneck
  }

  /** Tasks in front of the step. */
  get queued(): number {
    return this.flow.stats().steps[this.#step]!.queued
  }

  give(priority: number): WorkTask {
    const task = new WorkTask(this.given.length, { gate: this.#gate.name })
    const before = performance.now()
    this.#outcomes.push(this.flow.process(task, { priority, timeout: Infinity }))
    const after = performance.now()
    this.given.push({ task, priority, before, after, startedBefore: this.#started })
    return task
  }

  /** Waits until all that was given has come to the step, and lets one task go and the next one start. */
  async next(): Promise<void> {
    await this.arrived()
    this.#gate.letGo()
    await this.#gate.visited(++this.#started)
  }

  arrived(): Promise<void> {
    return until(
      () => this.queued === this.given.length - this.#started,
      'what was given has come to the step',
    )
  }

  /** Lets everything go; all that was given, in the order in which it was started. */
  async finish(): Promise<readonly Given[]> {
    this.#isOpen = true
    this.#gate.open()
    await Promise.all(this.#outcomes)
    return this.given.toSorted((a, b) => a.task.call! - b.task.call!)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) for (const outcome of this.#outcomes) outcome.catch(() => undefined)
    await this.flow.stop({ graceful: this.#isOpen })
    await this.#gate[Symbol.asyncDispose]()
  }
}
