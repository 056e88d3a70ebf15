import { Client } from '../../src/client/client.ts'
import type { Finished } from '../../src/client/outcome-reader.ts'
import { PAGE_BYTES } from '../../src/memory/geometry.ts'
import { libc } from '../../src/memory/libc.ts'
import { FlowMemory } from '../../src/runtime/memory-files.ts'
import { recoverWorker } from '../../src/runtime/recovery.ts'
import { type BellEnds, createBell } from '../../src/transport/bells.ts'
import type { ManualClock } from '../../src/transport/clock.ts'
import { FieldDecoder, FieldEncoder } from '../../src/transport/codec.ts'
import { Control, type FlowShape, workerActor } from '../../src/transport/control.ts'
import { Payloads } from '../../src/transport/payloads.ts'
import { FREE, RUNNING, actorOf, stateOf } from '../../src/transport/task-table.ts'
import { Batcher, type Claim } from '../../src/worker/batcher.ts'
import { Delivery } from '../../src/worker/delivery.ts'
import type { Sleeper } from '../../src/worker/sleeper.ts'

const shape: FlowShape = {
  clients: 1,
  slotsPerClient: 4,
  priorities: 3,
  priorityAgeing: 1000,
  inlineBytes: 512,
  memory: 64 * PAGE_BYTES,
  steps: [
    { workers: 2, queueSize: 4 },
    { workers: 1, queueSize: 4 },
  ],
  metrics: true,
  birth: undefined,
}
const payloadThreshold = 1024
const conditions = shape.steps.map(() => undefined)

let memory: FlowMemory | undefined
/** One memory for all flows of a test file, one after another: making it takes longer than most tests. */
const sharedMemory = (): FlowMemory => (memory ??= new FlowMemory(shape))

export type Handle = (tasks: readonly Record<string, unknown>[]) => void

/** What a task came to. `timesSettled` is 1 once it is over, and stays so. */
export interface Outcome {
  timesSettled: number
  finished: Finished | undefined
  error: unknown
}

/**
 * A flow of two steps whose client and workers all live in this thread and do one thing at a time, when they are told
 * to: a worker's turn is what its loop does with one batch.
 */
export class SmallFlow {
  readonly client: Client
  readonly control: Control
  readonly outcomes = new Map<object, Outcome>()
  readonly #connection

  /** @param bells - the bells of the actors, where a test has some that are listened to. */
  constructor(bells: readonly BellEnds[] = sharedMemory().bells) {
    const { control, payloads } = sharedMemory()
    new Uint8Array(control.view(0, control.byteLength)).fill(0)
    this.#connection = { control, payloads, bells: bells.map(({ write }) => write) }
    this.control = Control.create(shape, this.#connection, 0)
    const bell = createBell()
    libc().close(bell.write)
    this.client = new Client(this.control, {
      maxPending: 100,
      payloadThreshold,
      spin: 0,
      bell: bell.read,
      conditions,
      stepNames: ['first', 'second'],
      onSettled: (task, finished) => {
        const outcome = this.outcomes.get(task)!
        outcome.timesSettled++
        outcome.finished = finished
      },
    })
  }

  attach(actor: number): Control {
    return Control.attach(shape, this.#connection, actor)
  }

  setTime(now: number): void {
    ;(this.control.clock as ManualClock).set(now)
  }

  submit<Task extends object>(
    task: Task,
    timeout = Infinity,
    signal?: AbortSignal,
    priority = 0,
  ): Task {
    const outcome: Outcome = { timesSettled: 0, finished: undefined, error: undefined }
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

  /** How many tasks of each priority have a slot. */
  admitted(): number[] {
    const counts = Array.from({ length: shape.priorities }, () => 0)
    for (let slot = 0; slot < shape.slotsPerClient; slot++)
      if (stateOf(this.control.tasks.word(slot)) !== FREE)
        counts[this.control.tasks.priority(slot)]!++
    return counts
  }

  /** The slots that a worker runs. */
  runningOf(step: number, worker: number): number[] {
    const actor = workerActor(shape, step, worker)
    const slots: number[] = []
    for (let slot = 0; slot < shape.slotsPerClient; slot++) {
      const word = this.control.tasks.word(slot)
      if (stateOf(word) === RUNNING && actorOf(word) === actor) slots.push(slot)
    }
    return slots
  }

  recover(step: number, worker: number): void {
    recoverWorker(this.control, step, worker, 0)
  }

  /** Lets fresh workers and the client do all there is to do. */
  finish(handles: readonly Handle[]): void {
    const workers = handles.map((_, step) => new SmallWorker(this, step, 0))
    for (let round = 0; round < 8; round++) {
      handles.forEach((handle, step) => workers[step]!.turn(handle))
      this.client.tick()
    }
  }

  /** Releases all results, as the program would. */
  release(): void {
    for (const { finished } of this.outcomes.values())
      if (finished !== undefined) finished.results.release(finished.buffers)
  }

  /** What should be empty now and is not. */
  leftovers(): Record<string, number> {
    const { blocks, queues, completions, tasks } = this.control
    const states = Array.from({ length: shape.slotsPerClient }, (_, slot) => tasks.word(slot))
    const tally = this.client.tally()
    const { completed, failed, timedOut, cancelled, pending } = tally
    return Object.fromEntries(
      Object.entries({
        blocks: blocks.blocksInUse(),
        pages: blocks.pagesInUse(),
        gatherers: queues.filter((queue) => queue.isGathering()).length,
        queued: queues.filter((queue) => !queue.isEmpty()).length,
        done: completions[0]!.length,
        busySlots: states.filter((word) => stateOf(word) !== 0).length,
        pending,
        unbalanced: tally.admitted - completed - failed - timedOut - cancelled - pending,
        settledTwiceOrNever: [...this.outcomes.values()].filter((it) => it.timesSettled !== 1)
          .length,
      }).filter(([, count]) => count !== 0),
    )
  }

  close(): void {
    this.client.close(() => undefined)
  }
}

export interface SmallWorkerOptions {
  readonly batchSize?: number
  /** Called when the worker has found a deadline passed, before it acts on that. */
  readonly onExpired?: () => void
}

export class SmallWorker {
  readonly control: Control
  readonly batcher: Batcher
  readonly delivery: Delivery
  readonly payloads: Payloads
  readonly #decoder = new FieldDecoder()
  readonly #step: number
  readonly #batchSize: number

  constructor(flow: SmallFlow, step: number, worker: number, options: SmallWorkerOptions = {}) {
    const { batchSize = 2, onExpired } = options
    this.#batchSize = batchSize
    this.control = flow.attach(workerActor(shape, step, worker))
    this.payloads = new Payloads(this.control)
    const neverSleeps = { sleep: () => undefined, wakeAll: () => undefined } as unknown as Sleeper
    this.delivery = new Delivery(
      this.control,
      step,
      conditions,
      new FieldEncoder({ payloadThreshold }),
      this.payloads,
      neverSleeps,
      0,
      { handler: 'SmallWorker', worker, pid: process.pid, taskFailed: () => undefined },
    )
    this.batcher = new Batcher(this.control, {
      step,
      batchSize,
      batchTimeout: 0,
      sleep: () => Promise.resolve(),
      expire: (claim) => {
        onExpired?.()
        this.delivery.expire(claim)
      },
    })
    this.#step = step
  }

  /** Claims a batch, has it handled and hands it over. */
  turn(handle: Handle): void {
    const queue = this.control.queues[this.#step]!
    let batch: Claim[] = []
    const isExclusive = this.#batchSize > 1
    if (!isExclusive || queue.takeGathering(this.control.actor)) {
      this.batcher.claim(batch, this.#batchSize)
      if (isExclusive) queue.endGathering(this.control.actor)
    }
    batch = this.batcher.start(batch)
    const tasks = batch.map((claim) => this.#decode(claim))
    try {
      handle(tasks)
      void this.delivery.deliver(batch, tasks, this.control.clock.now())
    } catch (error) {
      this.payloads.closeAll()
      for (const claim of batch) this.delivery.fail(claim, error)
      this.delivery.flush()
    }
    this.payloads.closeAll()
  }

  #decode({ slot, generation }: Claim): Record<string, unknown> {
    const { tasks, leases } = this.control
    const task = {}
    this.payloads.begin(slot, generation, this.#step + 1)
    const length = tasks.fieldsLength(slot, generation)
    const block = tasks.fieldsBlock(slot, generation)
    const decode = (bytes: Uint8Array, start: number): void =>
      this.#decoder.decodeInto(task, bytes, start, length, this.payloads)
    if (block < 0) decode(tasks.bytes, tasks.fieldsStart(slot, generation))
    else leases.withBytes(block, 0, length, (bytes) => decode(bytes, 0))
    return task
  }
}
