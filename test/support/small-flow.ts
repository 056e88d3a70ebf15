import { PAGE_BYTES } from '../../src/memory/geometry.ts'
import { StepMeter } from '../../src/metrics/meters.ts'
import { FlowMemory } from '../../src/runtime/memory-files.ts'
import type { Inquest } from '../../src/runtime/inquest.ts'
import { recoverWorker } from '../../src/runtime/recovery.ts'
import type { BellEnds } from '../../src/transport/bells.ts'
import type { ManualClock } from '../../src/transport/clock.ts'
import { FieldDecoder, FieldEncoder } from '../../src/transport/codec.ts'
import { Control, type FlowShape, workerActor } from '../../src/transport/control.ts'
import { Payloads } from '../../src/transport/payloads.ts'
import { FREE, RUNNING, actorOf, stateOf } from '../../src/transport/task-table.ts'
import { Batcher, type Claim } from '../../src/worker/batcher.ts'
import { Delivery } from '../../src/worker/delivery.ts'
import type { Sleeper } from '../../src/worker/sleeper.ts'
import { SmallClient } from './small-client.ts'

const shapeFor = (clients: number): FlowShape => ({
  clients,
  slotsPerClient: 4,
  priorities: 3,
  priorityAgeing: 1000,
  refuseLate: true,
  inlineBytes: 512,
  memory: 64 * PAGE_BYTES,
  steps: [
    { workers: 2, queueSize: 4, gathers: true },
    { workers: 1, queueSize: 4, gathers: true },
  ],
  metrics: true,
  birth: undefined,
})
const payloadThreshold = 1024
const stepNames = ['first', 'second']
const conditions = stepNames.map(() => undefined)

const memories = new Map<number, FlowMemory>()
/** One memory for all flows of a test file, one after another: making it takes longer than most tests. */
function sharedMemory(clients: number): FlowMemory {
  const memory = memories.get(clients) ?? new FlowMemory(shapeFor(clients))
  memories.set(clients, memory)
  return memory
}

export type Handle = (tasks: readonly Record<string, unknown>[]) => void

/**
 * A flow of two steps whose clients and workers all live in this thread and do one thing at a time, when they are told
 * to: a worker's turn is what its loop does with one batch. It is its own first client.
 */
export class SmallFlow extends SmallClient {
  readonly shape: FlowShape
  readonly #connection

  /**
   * @param bells - the bells of the actors, where a test has some that are listened to.
   * @param clients - how many there may be, with the flow's own.
   */
  constructor(bells?: readonly BellEnds[], clients = 1) {
    const { shape, control, payloads, bells: silent } = sharedMemory(clients)
    new Uint8Array(control.view(0, control.byteLength)).fill(0)
    const connection = { control, payloads, bells: (bells ?? silent).map(({ write }) => write) }
    super(Control.create(shape, connection, 0), { payloadThreshold, stepNames })
    this.shape = shape
    this.#connection = connection
  }

  attach(actor: number): Control {
    return Control.attach(this.shape, this.#connection, actor)
  }

  /** A client that joins the flow under this number, and sleeps at this bell. */
  join(number: number, bell?: number): SmallClient {
    return new SmallClient(this.attach(number), { payloadThreshold, stepNames }, bell)
  }

  setTime(now: number): void {
    ;(this.control.clock as ManualClock).set(now)
  }

  /** How many tasks of each priority have a slot. */
  admitted(): number[] {
    const counts = Array.from({ length: this.shape.priorities }, () => 0)
    for (let slot = 0; slot < this.control.tasks.geometry.slots; slot++)
      if (stateOf(this.control.tasks.word(slot)) !== FREE)
        counts[this.control.tasks.priority(slot)]!++
    return counts
  }

  /** The slots that a worker runs. */
  runningOf(step: number, worker: number): number[] {
    const actor = workerActor(this.shape, step, worker)
    const slots: number[] = []
    for (let slot = 0; slot < this.control.tasks.geometry.slots; slot++) {
      const word = this.control.tasks.word(slot)
      if (stateOf(word) === RUNNING && actorOf(word) === actor) slots.push(slot)
    }
    return slots
  }

  /** By default nothing that was started is run again. */
  recover(step: number, worker: number, inquest: Partial<Inquest> = {}): void {
    recoverWorker(this.control, step, worker, {
      death: 0,
      retries: 0,
      suspects: 'task',
      ...inquest,
    })
  }

  /** Lets fresh workers and the client do all there is to do. */
  finish(handles: readonly Handle[]): void {
    const workers = handles.map((_, step) => new SmallWorker(this, step, 0))
    for (let round = 0; round < 8; round++) {
      handles.forEach((handle, step) => workers[step]!.turn(handle))
      this.client.tick()
    }
  }

  /** What should be empty now and is not. */
  leftovers(): Record<string, number> {
    const { blocks, queues, completions, tasks } = this.control
    const states = Array.from({ length: tasks.geometry.slots }, (_, slot) => tasks.word(slot))
    const tally = this.client.tally()
    const { completed, failed, timedOut, cancelled, pending } = tally
    return Object.fromEntries(
      Object.entries({
        blocks: blocks.blocksInUse(),
        pages: blocks.pagesInUse(),
        gatherers: queues.filter((queue) => queue.isGathering()).length,
        queued: queues.filter((queue) => !queue.isEmpty()).length,
        done: completions.filter((ring) => ring.length > 0).length,
        busySlots: states.filter((word) => stateOf(word) !== 0).length,
        pending,
        unbalanced: tally.admitted - completed - failed - timedOut - cancelled - pending,
        settledTwiceOrNever: [...this.outcomes.values()].filter((it) => it.timesSettled !== 1)
          .length,
      }).filter(([, count]) => count !== 0),
    )
  }
}

export interface SmallWorkerOptions {
  readonly batchSize?: number
  /** Milliseconds that its batches take at the least. */
  readonly quickest?: number
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
    const { batchSize = 2, quickest = 0, onExpired } = options
    this.#batchSize = batchSize
    this.control = flow.attach(workerActor(flow.shape, step, worker))
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
      new StepMeter(
        this.control.words,
        this.control.metricsStart(this.control.actor),
        this.control.shape,
        batchSize,
      ),
    )
    this.batcher = new Batcher(this.control, {
      step,
      batchSize,
      batchTimeout: 0,
      sleep: () => Promise.resolve(),
      quickest: () => quickest,
      expire: (claim) => {
        onExpired?.()
        this.delivery.expire(claim)
      },
    })
    this.#step = step
  }

  /** Claims a batch, has it handled and hands it over. */
  turn(handle: Handle): void {
    this.complete(this.begin(), handle)
  }

  /** Claims a batch and starts it. */
  begin(): Claim[] {
    const queue = this.control.queues[this.#step]!
    let batch: Claim[] = []
    const isExclusive = this.#batchSize > 1
    if (!isExclusive || queue.takeGathering(this.control.actor)) {
      batch = this.batcher.claim(batch, this.#batchSize)
      if (isExclusive) queue.endGathering(this.control.actor)
    }
    return this.batcher.start(batch)
  }

  /** Has a batch handled that was started, and hands it over. */
  complete(batch: readonly Claim[], handle: Handle): void {
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
