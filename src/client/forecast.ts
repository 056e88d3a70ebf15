import { isAgeing } from '../transport/ageing.ts'
import { type Control, workerActor } from '../transport/control.ts'

/** Milliseconds for which what was seen of the flow's queues is good enough, unless a task would be refused by it … */
const LOOK_EVERY = 5
/** … which takes a better look, this often at most. */
const LOOK_CLOSELY_EVERY = 1
/** Milliseconds in which the tasks that workers took count half as much for what they take now. */
const HALF_LIFE = 500

/**
 * How long a task will take that comes now: for each of its steps the tasks that wait there before it, times what the
 * step's workers need for one, and its own batch. What workers tell of themselves (pace-table.ts) includes all that they
 * do between two batches, so a step that waits for room in front of the next is as slow as that one.
 *
 * It errs on the side of letting tasks in: a step counts only while more wait there than its workers take at once, so
 * that no worker ever lacks work on account of an estimate, and workers that have not done enough yet, or have rested,
 * are not judged.
 */
export class Forecast {
  readonly #control: Control
  readonly #isConditional: readonly boolean[]
  readonly #steps: number
  readonly #classes: number
  /** By step: milliseconds for each task, over all workers, 0 while not known; those of a batch; tasks taken at once. */
  readonly #taskMs: Float64Array
  readonly #batchMs: Float64Array
  readonly #places: Float64Array
  /** By step and priority: tasks in the queue; those that workers had taken at the last look; the recent ones of these. */
  readonly #queued: Float64Array
  readonly #taken: Float64Array
  readonly #recent: Float64Array
  /** By step and priority: what a task has before it whose first step that is. */
  readonly #expected: Float64Array
  #slowest = 0
  /** Tasks that this client has added since it looked. */
  #added = 0
  #lookedAt = -Infinity
  #isExact = false

  constructor(control: Control, conditions: readonly (string | undefined)[]) {
    const { steps, priorities } = control.shape
    this.#control = control
    this.#isConditional = conditions.map((condition) => condition !== undefined)
    this.#steps = steps.length
    this.#classes = priorities
    this.#taskMs = new Float64Array(steps.length)
    this.#batchMs = new Float64Array(steps.length)
    this.#places = new Float64Array(steps.length)
    this.#queued = new Float64Array(steps.length * priorities)
    this.#taken = new Float64Array(steps.length * priorities)
    this.#recent = new Float64Array(steps.length * priorities)
    this.#expected = new Float64Array(steps.length * priorities)
  }

  /** A task has been let in. */
  add(): void {
    this.#added++
  }

  /**
   * Milliseconds until a task would be finished, 0 if nothing stands in its way. Near or above `allowed` it is as good as
   * can be told, below that it may be some milliseconds old.
   */
  expect(step: number, priority: number, now: number, allowed: number): number {
    if (!(now - this.#lookedAt < LOOK_EVERY)) this.#look(now, false)
    const at = step * this.#classes + priority
    const expected = this.#expected[at]! + this.#added * this.#slowest
    if (expected <= allowed) return expected
    if (this.#isExact && now - this.#lookedAt < LOOK_CLOSELY_EVERY) return expected
    this.#look(now, true)
    return this.#expected[at]!
  }

  /** Milliseconds from one task that is finished to the next, as far as is known. */
  get msPerTask(): number | undefined {
    return this.#slowest > 0 ? this.#slowest : undefined
  }

  /** @param isExact - whether to leave out tasks that were withdrawn: that takes a look at each. */
  #look(now: number, isExact: boolean): void {
    const { queues } = this.#control
    const fading = 0.5 ** (Math.max(0, now - this.#lookedAt) / HALF_LIFE)
    this.#slowest = 0
    for (let step = 0; step < this.#steps; step++) {
      this.#lookAtWorkers(step, now, fading)
      const queue = queues[step]!
      for (let priority = 0; priority < this.#classes; priority++) {
        this.#queued[step * this.#classes + priority] = isExact
          ? queue.waiting(priority)
          : queue.cells(priority)
      }
    }
    for (let step = 0; step < this.#steps; step++)
      for (let priority = 0; priority < this.#classes; priority++)
        this.#expected[step * this.#classes + priority] = this.#through(step, priority)
    this.#lookedAt = now
    this.#isExact = isExact
    this.#added = 0
  }

  #lookAtWorkers(step: number, now: number, fading: number): void {
    const { paces, shape } = this.#control
    const first = workerActor(shape, step, 0)
    const end = first + shape.steps[step]!.workers
    let places = 0
    let living = 0
    let known = 0
    let tasksPerMs = 0
    let batchMs = 0
    for (let worker = first; worker < end; worker++) {
      if (paces.places(worker) === 0) continue
      living++
      places += paces.places(worker)
      const taskMs = paces.taskMs(worker, now)
      if (!(taskMs > 0)) continue
      known++
      tasksPerMs += 1 / taskMs
      batchMs += paces.batchMs(worker)
    }
    // Those that nothing is known of are taken to be like the others.
    this.#taskMs[step] = known === 0 ? 0 : known / (tasksPerMs * living)
    this.#batchMs[step] = known === 0 ? 0 : batchMs / known
    this.#places[step] = places
    this.#slowest = Math.max(this.#slowest, this.#taskMs[step])
    for (let priority = 0; priority < this.#classes; priority++) {
      const at = step * this.#classes + priority
      let taken = 0
      for (let worker = first; worker < end; worker++) taken += paces.tasks(worker, priority)
      const since = Math.max(0, taken - this.#taken[at]!) // less, when one of them has gone
      this.#recent[at] = this.#recent[at]! * fading + since
      this.#taken[at] = taken
    }
  }

  /** Milliseconds through a step and all that follow. */
  #through(first: number, priority: number): number {
    let isBehind = false
    let expected = 0
    const most = this.#mostTaken()
    for (let step = first; step < this.#steps; step++) {
      const visits = this.#isConditional[step]! && step > first && most > 0
      const share = visits ? this.#sumOf(this.#recent, step, 0) / most : 1
      const wait = this.#waitAt(step, priority, step === first)
      if (wait > 0) isBehind = true
      expected += share * (wait + this.#batchMs[step]!)
    }
    return isBehind ? expected : 0
  }

  #waitAt(step: number, priority: number, isFirst: boolean): number {
    const { priorityAgeing } = this.#control.shape
    const taskMs = this.#taskMs[step]!
    const higher =
      this.#sumOf(this.#queued, step, priority + 1) + this.#listed(priority + 1, isFirst)
    const all = this.#sumOf(this.#queued, step, priority) + this.#listed(priority, isFirst)
    if (taskMs === 0 || all <= this.#places[step]!) return 0
    if (this.#classes === 1) return all * taskMs
    const lower = this.#sumOf(this.#queued, step, 0) + this.#listed(0, isFirst) - all
    const ages = isAgeing(this.#classes, priorityAgeing)
    // What is lower and has waited for longer than the head start has every other turn.
    const aged = ages && lower * taskMs > priorityAgeing ? Math.min(all, lower) : 0
    const byPriority = (all + aged) * taskMs
    // What is higher goes on to come, and leaves only the rest of the workers' time; but then there are turns of age.
    const taken = this.#sumOf(this.#recent, step, 0)
    const share = taken > 0 ? this.#sumOf(this.#recent, step, priority + 1) / taken : 0
    if (share === 0) return byPriority
    const left = share < 1 ? byPriority / (1 - share) : Infinity
    if (!ages) return left
    const headStart = (this.#classes - 1 - priority) * priorityAgeing
    return Math.min(left, (higher + 2 * (all - higher)) * taskMs + share * headStart)
  }

  /**
   * Tasks from a priority up that wait to be admitted. Clients find room by turns: of another's tasks no more go first than
   * this client has before that.
   */
  #listed(priority: number, isFirst: boolean): number {
    if (!isFirst) return 0
    const { paces, shape, actor } = this.#control
    const waitingAt = (client: number): number => {
      let tasks = 0
      for (let each = priority; each < this.#classes; each++) tasks += paces.tasks(client, each)
      return tasks
    }
    const own = waitingAt(actor)
    let listed = own
    for (let client = 0; client < shape.clients; client++)
      if (client !== actor) listed += Math.min(own + 1, waitingAt(client))
    return listed
  }

  #mostTaken(): number {
    let most = 0
    for (let step = 0; step < this.#steps; step++)
      most = Math.max(most, this.#sumOf(this.#recent, step, 0))
    return most
  }

  /** Of a step's figures by priority, the sum from a priority up. */
  #sumOf(figures: Float64Array, step: number, priority: number): number {
    let sum = 0
    for (let each = priority; each < this.#classes; each++)
      sum += figures[step * this.#classes + each]!
    return sum
  }
}
