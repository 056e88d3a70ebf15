/*
 * How fast workers are and what waits at clients: a row of float64 cells for each actor, which it alone writes, with
 * plain stores, and anybody reads at any time. All of it is for estimates: a reader that sees one cell older than the
 * next is off by one batch. A death leaves the row as it was; recovery clears it before the actor's number is used again.
 */
const CELLS_PER_LINE = 8

// A worker's.
const PLACES = 0 // tasks that it takes at once: batch size times concurrency; 0 while nobody works there
const TASK_MS = 1 // of the worker, for each task of a full batch; 0 while that is not known
const BATCH_MS = 2
const IDLE_SINCE = 3 // flow time; 0 while it has something to do
// By priority: tasks that the worker has taken so far; a client's that wait to be admitted.
const TASKS = CELLS_PER_LINE

/** Milliseconds of rest after which a worker's figures are forgotten: what was slow then may be fast now. */
const FORGOTTEN_AFTER = 1_000

export class PaceTable {
  readonly #cells: Float64Array
  readonly #row: number

  static #cellsPerActor(priorities: number): number {
    return TASKS + Math.ceil(priorities / CELLS_PER_LINE) * CELLS_PER_LINE
  }

  static wordsNeeded(actors: number, priorities: number): number {
    return actors * PaceTable.#cellsPerActor(priorities) * 2
  }

  constructor(words: Int32Array, start: number, actors: number, priorities: number) {
    this.#row = PaceTable.#cellsPerActor(priorities)
    this.#cells = new Float64Array(words.buffer, words.byteOffset + start * 4, actors * this.#row)
  }

  /** Makes the row that of nobody. Its actor calls it when it comes, and recovery when it has gone. */
  clear(actor: number): void {
    this.#cells.fill(0, actor * this.#row, (actor + 1) * this.#row)
  }

  /** A worker says that it is there, and how many tasks it takes at once. */
  join(worker: number, places: number): void {
    this.clear(worker)
    this.#cells[worker * this.#row + PLACES] = places
  }

  /** A worker says what its tasks and batches take; 0 that it does not know. */
  tell(worker: number, taskMs: number, batchMs: number): void {
    const row = worker * this.#row
    this.#cells[row + TASK_MS] = taskMs
    this.#cells[row + BATCH_MS] = batchMs
  }

  /** A worker says that it has nothing to do since then; 0 that it has. */
  setIdle(worker: number, since: number): void {
    this.#cells[worker * this.#row + IDLE_SINCE] = since
  }

  /** Whether what is known of a worker's pace counts no more. */
  isForgotten(worker: number, now: number): boolean {
    const since = this.#cells[worker * this.#row + IDLE_SINCE]!
    return since > 0 && now - since >= FORGOTTEN_AFTER
  }

  addTasks(actor: number, priority: number, count: number): void {
    this.#cells[actor * this.#row + TASKS + priority]! += count
  }

  /** Tasks of a priority: those that a worker has taken, or that wait at a client. */
  tasks(actor: number, priority: number): number {
    return this.#cells[actor * this.#row + TASKS + priority]!
  }

  places(worker: number): number {
    return this.#cells[worker * this.#row + PLACES]!
  }

  /** 0 while not known. */
  taskMs(worker: number, now: number): number {
    return this.isForgotten(worker, now) ? 0 : this.#cells[worker * this.#row + TASK_MS]!
  }

  batchMs(worker: number): number {
    return this.#cells[worker * this.#row + BATCH_MS]!
  }
}
