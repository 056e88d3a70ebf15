import { StepQueue, type StepQueueShape } from '../../src/transport/step-queue.ts'
import {
  CLAIMED,
  FREE,
  QUEUED,
  TaskTable,
  generationOfState,
  nextGeneration,
  stateOf,
  stateWord,
} from '../../src/transport/task-table.ts'

export const CLIENT = 0
const defaults: StepQueueShape = {
  priorities: 2,
  ageing: 1000,
  queueSize: 2,
  ringCapacity: 64,
  workers: 40,
  actors: 41,
  gathers: true,
}

/** A queue and its tasks, as each of several actors sees them. */
export class SharedQueue {
  readonly queue: StepQueue
  readonly tasks: TaskTable
  readonly #words: Int32Array
  readonly #shape: StepQueueShape

  constructor(options: Partial<StepQueueShape> = {}, words?: Int32Array) {
    this.#shape = { ...defaults, ...options }
    const geometry = { slots: 6, steps: 1, inlineBytes: 8 }
    const size = TaskTable.wordsNeeded(geometry)
    this.#words = words ?? new Int32Array(size + StepQueue.wordsNeeded(this.#shape))
    this.tasks = new TaskTable(geometry, this.#words, 0)
    this.queue = new StepQueue(this.#words, size, this.#shape, this.tasks)
  }

  another(): SharedQueue {
    return new SharedQueue(this.#shape, this.#words)
  }

  /** One whose next claim goes by age: by a claim in vain, in an empty queue, it has had the turn before. */
  anotherInTurnOfAge(): SharedQueue {
    const other = this.another()
    other.queue.claim(CLIENT)
    return other
  }

  /** Puts a new task into a slot and in the queue. */
  submit(slot: number, priority = 0, admittedAt = 0, producer = CLIENT): void {
    this.tasks.describe(slot, 0, priority, admittedAt, Infinity)
    this.handOver(slot, producer)
  }

  /** Puts the task of a slot into the queue, again or for the first time. */
  handOver(slot: number, producer = CLIENT): void {
    const generation = nextGeneration(generationOfState(this.tasks.word(slot)))
    this.tasks.set(slot, stateWord(QUEUED, producer, generation))
    this.queue.push(slot, generation, this.tasks.priority(slot))
  }

  /** Takes a task back that nobody has started; false when there was none. */
  withdraw(slot: number): boolean {
    const word = this.tasks.word(slot)
    const isThere = stateOf(word) === QUEUED || stateOf(word) === CLAIMED
    if (!isThere || !this.tasks.move(slot, word, stateWord(FREE, CLIENT, generationOfState(word))))
      return false
    this.queue.noteStale()
    return true
  }

  /** Ends the task of a slot that nobody else uses. */
  free(slot: number): void {
    this.tasks.set(slot, stateWord(FREE, CLIENT, generationOfState(this.tasks.word(slot))))
  }

  /** Claims all that is left. */
  claimAll(actor = 2): number[] {
    const slots: number[] = []
    for (let slot = this.queue.claim(actor); slot >= 0; slot = this.queue.claim(actor))
      slots.push(slot)
    return slots
  }
}
