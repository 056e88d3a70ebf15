import { BlockTable } from '../memory/block-table.ts'
import { BlockGeometry } from '../memory/geometry.ts'
import { Leases } from '../memory/leases.ts'
import type { Mapping } from '../memory/mapping.ts'
import { metricWords } from '../metrics/layout.ts'
import { Bells } from './bells.ts'
import { inPairsOfLines } from './cache-lines.ts'
import { type Clock, ManualClock, MonotonicClock } from './clock.ts'
import { DeathTable } from './death-table.ts'
import { MemoryNeeds } from './memory-needs.ts'
import { PaceTable } from './pace-table.ts'
import { MAX_SLOTS, Ring } from './ring.ts'
import { StepQueue, type StepQueueShape } from './step-queue.ts'
import { MAX_ACTORS, TaskTable } from './task-table.ts'
import { UsedSlots } from './used-slots.ts'
import { Vitals } from './vitals.ts'

/** Everything that decides how the flow's shared memory is laid out. Plain data: each worker gets the same. */
export interface FlowShape {
  /** Clients that there may be: the process that started the flow, then those that attach. */
  readonly clients: number
  readonly slotsPerClient: number
  readonly priorities: number
  /** Milliseconds that a task of a priority counts as having come earlier than one of the next lower; see ageing.ts. */
  readonly priorityAgeing: number
  /** Whether tasks are refused, and given up, that are expected to miss their deadline. */
  readonly refuseLate: boolean
  readonly inlineBytes: number
  /** Cap of payload memory in bytes. */
  readonly memory: number
  readonly steps: readonly StepShape[]
  /** Whether workers measure what they do. */
  readonly metrics: boolean
  /** CLOCK_MONOTONIC at the flow's birth, in milliseconds; undefined for a flow whose test moves the clock. */
  readonly birth: number | undefined
}

interface StepShape {
  /** Numbers for workers: more than work at once, so that others can become ready beside them. */
  readonly workers: number
  readonly queueSize: number
  /** Whether batches may be of more than one task: then one worker at a time gathers. */
  readonly gathers: boolean
}

/** How a process finds the flow's memory and bells. */
export interface Connection {
  readonly control: Mapping
  readonly payloads: Mapping
  /** Write end of each actor's bell. */
  readonly bells: readonly number[]
}

/** "AQDT", and the version of the layout: both ends must agree. */
const MAGIC = 0x5444_5141
export const LAYOUT_VERSION = 5
const HEADER_WORDS = 32
const MANUAL_TIME = 4 // float64 index of the word that a test moves

/** Number of the actor that is worker `worker` of step `step`. */
export function workerActor(shape: FlowShape, step: number, worker: number): number {
  let actor = shape.clients + worker
  for (let before = 0; before < step; before++) actor += shape.steps[before]!.workers
  return actor
}

export function actorCount(shape: FlowShape): number {
  return workerActor(shape, shape.steps.length, 0)
}

interface Layout {
  readonly bells: number
  readonly metrics: number
  readonly paces: number
  readonly needs: number
  readonly deaths: number
  readonly vitals: number
  readonly queues: readonly number[]
  readonly completions: readonly number[]
  readonly tasks: number
  readonly usedSlots: number
  readonly blocks: number
  readonly words: number
  readonly geometry: BlockGeometry
  readonly queueShapes: readonly StepQueueShape[]
  readonly completionCapacity: number
}

function layoutOf(shape: FlowShape): Layout {
  const actors = actorCount(shape)
  const slots = shape.clients * shape.slotsPerClient
  if (actors > MAX_ACTORS)
    throw new RangeError(`${actors} clients and workers are more than ${MAX_ACTORS}`)
  if (slots > MAX_SLOTS) throw new RangeError(`${slots} task slots are more than ${MAX_SLOTS}`)
  let next = HEADER_WORDS
  const region = (words: number): number => {
    const start = next
    next += inPairsOfLines(words)
    return start
  }
  const geometry = new BlockGeometry(shape.memory)
  const queueShapes = shape.steps.map(({ workers, queueSize, gathers }) => ({
    priorities: shape.priorities,
    ageing: shape.priorityAgeing,
    queueSize,
    gathers,
    ringCapacity: nextPowerOfTwo(2 * (slots + actors)),
    workers,
    actors,
  }))
  // All that a client may have admitted, and what a worker says late, to the one who has taken the client's place.
  const completionCapacity = nextPowerOfTwo(shape.slotsPerClient * 2 + actors)
  return {
    bells: region(actors * Bells.WORDS_PER_ACTOR),
    metrics: region(actors * metricWords(shape)),
    paces: region(PaceTable.wordsNeeded(actors, shape.priorities)),
    needs: region(MemoryNeeds.wordsNeeded(shape.steps.length, actors)),
    deaths: region(DeathTable.WORDS),
    vitals: region(Vitals.wordsNeeded(actors)),
    queues: queueShapes.map((queue) => region(StepQueue.wordsNeeded(queue))),
    completions: Array.from({ length: shape.clients }, () =>
      region(Ring.wordsNeeded(completionCapacity)),
    ),
    tasks: region(TaskTable.wordsNeeded(slotGeometry(shape))),
    usedSlots: region(UsedSlots.wordsNeeded(shape.clients)),
    blocks: region(BlockTable.wordsNeeded(geometry, actors)),
    words: next,
    geometry,
    queueShapes,
    completionCapacity,
  }
}

const slotGeometry = (shape: FlowShape): { slots: number; steps: number; inlineBytes: number } => ({
  slots: shape.clients * shape.slotsPerClient,
  steps: shape.steps.length,
  inlineBytes: shape.inlineBytes,
})

const nextPowerOfTwo = (value: number): number =>
  value <= 2 ? 2 : 1 << (32 - Math.clz32(value - 1))

/** Bytes that the two memory files of a flow need. */
export function mappingSizes(shape: FlowShape): {
  readonly controlBytes: number
  readonly payloadBytes: number
} {
  const { words, geometry } = layoutOf(shape)
  return { controlBytes: words * 4, payloadBytes: geometry.payloadBytes }
}

/** A flow's shared memory as one actor sees it. */
export class Control {
  readonly shape: FlowShape
  readonly actor: number
  readonly words: Int32Array
  readonly clock: Clock
  readonly bells: Bells
  readonly tasks: TaskTable
  readonly usedSlots: UsedSlots
  readonly deaths: DeathTable
  readonly vitals: Vitals
  readonly paces: PaceTable
  readonly needs: MemoryNeeds
  readonly blocks: BlockTable
  readonly leases: Leases
  readonly queues: readonly StepQueue[]
  /** One per client: the tasks that are done. */
  readonly completions: readonly Ring[]
  readonly #metrics: number
  readonly #metricWords: number

  private constructor(
    shape: FlowShape,
    layout: Layout,
    words: Int32Array,
    connection: Connection,
    actor: number,
  ) {
    const actors = actorCount(shape)
    this.shape = shape
    this.actor = actor
    this.words = words
    this.clock =
      shape.birth === undefined
        ? new ManualClock(
            new Float64Array(words.buffer, words.byteOffset, HEADER_WORDS / 2),
            MANUAL_TIME,
          )
        : new MonotonicClock(shape.birth)
    this.bells = new Bells(words, layout.bells, connection.bells)
    this.tasks = new TaskTable(slotGeometry(shape), words, layout.tasks)
    const { clients, slotsPerClient } = shape
    this.usedSlots = new UsedSlots(words, layout.usedSlots, clients, slotsPerClient)
    this.deaths = new DeathTable(words, layout.deaths)
    this.vitals = new Vitals(words, layout.vitals, actors)
    this.paces = new PaceTable(words, layout.paces, actors, shape.priorities)
    this.needs = new MemoryNeeds(words, layout.needs, shape.steps.length, actors)
    this.blocks = new BlockTable(
      layout.geometry,
      words,
      layout.blocks,
      actors,
      actor,
      (offset, length) => {
        connection.payloads.punch(offset, length)
      },
      () => {
        this.wakeMemoryWaiters()
      },
    )
    this.leases = new Leases(connection.payloads, this.blocks)
    this.queues = layout.queueShapes.map(
      (queue, step) => new StepQueue(words, layout.queues[step]!, queue, this.tasks),
    )
    this.completions = layout.completions.map(
      (start) => new Ring(words, start, layout.completionCapacity),
    )
    this.#metrics = layout.metrics
    this.#metricWords = metricWords(shape)
  }

  /** Lays out fresh memory. */
  static create(shape: FlowShape, connection: Connection, actor: number): Control {
    const layout = layoutOf(shape)
    const words = new Int32Array(connection.control.view(0, layout.words * 4))
    words[0] = MAGIC
    words[1] = LAYOUT_VERSION
    return new Control(shape, layout, words, connection, actor)
  }

  /** Joins memory that another process laid out. */
  static attach(shape: FlowShape, connection: Connection, actor: number): Control {
    const layout = layoutOf(shape)
    const words = new Int32Array(connection.control.view(0, layout.words * 4))
    if (words[0] !== MAGIC || words[1] !== LAYOUT_VERSION) {
      throw new Error('the shared memory belongs to another version of this library')
    }
    return new Control(shape, layout, words, connection, actor)
  }

  /** Detaches the control words: whoever touches them afterwards gets a TypeError instead of unmapped memory. */
  close(): void {
    const { buffer } = this.words
    if (buffer instanceof ArrayBuffer) buffer.transfer(0)
  }

  /** Whether a test moves the clock; then nobody sets timers. */
  get isClockManual(): boolean {
    return this.shape.birth === undefined
  }

  /** The client in whose part of the table `slot` lies. */
  clientOf(slot: number): number {
    return Math.floor(slot / this.shape.slotsPerClient)
  }

  /** Where the metrics of `actor` begin in {@link words}. */
  metricsStart(actor: number): number {
    return this.#metrics + actor * this.#metricWords
  }

  /**
   * Wakes somebody for the tasks in front of `step`: the one who gathers, since they are for its batch, or else a worker
   * that sleeps. Who ends gathering looks for tasks and sleepers after that, so that none is left between the two.
   */
  wakeWorker(step: number): void {
    const queue = this.queues[step]!
    const gatherer = queue.gatherer()
    if (gatherer >= 0 && gatherer < actorCount(this.shape)) {
      this.bells.ring(gatherer)
      return
    }
    const worker = queue.takeSleeper()
    if (worker >= 0) this.bells.ring(workerActor(this.shape, step, worker))
  }

  /** Wakes everybody who waits for room in front of `step`. */
  wakeRoomWaiters(step: number): void {
    this.queues[step]!.takeRoomWaiters((actor) => this.bells.ring(actor))
  }

  /** A task that waited in front of `step` was withdrawn: there may be room. */
  noteWithdrawal(step: number): void {
    this.queues[step]!.noteStale()
    this.wakeRoomWaiters(step)
  }

  /** Wakes everybody who waits for memory. */
  wakeMemoryWaiters(): void {
    this.blocks.takeWaiters((actor) => this.bells.ring(actor))
  }

  /** Wakes the clients that sleep: a worker lacks memory that their tasks may hold. */
  wakeClients(): void {
    for (let client = 0; client < this.shape.clients; client++) this.bells.ring(client)
  }

  /**
   * How many pages may be in use before an allocation at `stage` is refused, for a task that holds `pages` with it. As far
   * as {@link pageLimit}, but for the steps that follow as much is left as they have been seen to add to a task; only
   * what would never fit then is let in as if that were not so.
   */
  pageLimitNow(stage: number, pages: number): number {
    const { capPages } = this.blocks.geometry
    const stages = this.shape.steps.length
    const share = (0.25 * capPages) / stages
    let left = capPages
    for (let step = Math.floor(stage); step < stages; step++)
      left -= Math.min(1, step + 1 - stage) * Math.max(share, this.needs.ofStep(step))
    left = Math.floor(left)
    return pages > left ? this.pageLimit(stage) : left
  }

  /**
   * How many pages may be in use at `stage` at the most: 0 is admission, then one stage for each step. Later stages may go
   * further, so that what is in the flow can always leave it: a quarter of the memory is kept from admission, and an equal
   * share of that quarter from each step but the last.
   */
  pageLimit(stage: number): number {
    const { capPages } = this.blocks.geometry
    const stages = this.shape.steps.length
    return Math.floor(capPages * (1 - (0.25 * (stages - stage)) / stages))
  }
}
