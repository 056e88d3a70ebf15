import { OutOfMemoryError } from '../errors.ts'
import type { StepMeter } from '../metrics/meters.ts'
import type { FieldEncoder } from '../transport/codec.ts'
import type { Control } from '../transport/control.ts'
import { writeFields } from '../transport/fields.ts'
import { MemoryExhausted, type Payloads } from '../transport/payloads.ts'
import {
  CLAIMED,
  DONE,
  OUTCOME_CANCELLED,
  OUTCOME_COMPLETED,
  OUTCOME_FAILED,
  OUTCOME_TIMED_OUT,
  QUEUED,
  RUNNING,
  nextGeneration,
  stateWord,
} from '../transport/task-table.ts'
import { reduce } from '../transport/reduce.ts'
import { cellOf } from '../transport/ring.ts'
import { letOthersGo } from '../transport/spinner.ts'
import type { Claim } from './batcher.ts'
import type { FailureLog } from './log.ts'
import type { Sleeper } from './sleeper.ts'

/** Why a task cannot be handed over now. */
type Obstacle = 'room' | 'memory'

const OUTPUT = -1
/** Milliseconds to look for room: what makes it takes that long at the most, or much longer. */
const LONGEST_LOOK_FOR_ROOM = 0.05

/** Hands tasks over to the next step that wants them, or to their client with their outcome. */
export class Delivery {
  readonly #control: Control
  readonly #step: number
  readonly #conditions: readonly (string | undefined)[]
  readonly #encoder: FieldEncoder
  readonly #payloads: Payloads
  readonly #sleeper: Sleeper
  /** Milliseconds. */
  readonly #spin: number
  readonly #log: FailureLog
  readonly #meter: StepMeter
  /** Clients and steps to wake once the batch is through. */
  readonly #toRing: boolean[]
  readonly #toWake: boolean[]
  #hasMadeWork = false
  /** The most pages that were placed for a task. */
  #mostPlaced = 0
  /** The step for which there was no room last. */
  #fullStep = 0

  constructor(
    control: Control,
    step: number,
    conditions: readonly (string | undefined)[],
    encoder: FieldEncoder,
    payloads: Payloads,
    sleeper: Sleeper,
    spin: number,
    log: FailureLog,
    meter: StepMeter,
  ) {
    this.#control = control
    this.#toRing = control.completions.map(() => false)
    this.#toWake = control.queues.map(() => false)
    this.#step = step
    this.#conditions = conditions
    this.#encoder = encoder
    this.#payloads = payloads
    this.#sleeper = sleeper
    this.#spin = spin
    this.#log = log
    this.#meter = meter
  }

  /** Hands over every handled task. Returns a promise only when it has to wait for room or memory. */
  deliver(
    claims: readonly Claim[],
    handled: readonly object[],
    now: number,
  ): Promise<void> | undefined {
    this.#payloads.quarantineMoved()
    for (let index = 0; index < claims.length; index++) {
      const obstacle = this.#tryHandOver(claims[index]!, handled[index]!, now)
      if (obstacle !== undefined) return this.#deliverSlowly(claims, handled, index)
    }
    this.flush()
    return undefined
  }

  /** Settles a task with an error. */
  fail(claim: Claim, error: unknown): void {
    const generation = nextGeneration(claim.generation)
    const { handler, worker, pid } = this.#log
    const failure = { worker, pid, handler, error }
    // What the handler threw may not travel as it is, and there may be no memory for more than fits the slot.
    if (
      !this.#tryWrite(claim.slot, generation, failure) &&
      !this.#tryWrite(claim.slot, generation, reduce(failure) as object)
    ) {
      const essence = reduce(failure, this.#control.shape.inlineBytes / 4) as object
      this.#payloads.abandon(claim.slot, generation)
      this.#write(claim.slot, generation, essence)
    }
    this.#finish(claim, OUTCOME_FAILED)
  }

  /** Settles a running task for which nobody waits any more. */
  forget(claim: Claim): void {
    const isCancelled = this.#control.tasks.isCancelled(claim.slot)
    this.#finish(claim, isCancelled ? OUTCOME_CANCELLED : OUTCOME_TIMED_OUT)
  }

  /** Settles a claimed task whose deadline has passed. */
  expire(claim: Claim): void {
    const { tasks, actor } = this.#control
    const { slot, generation } = claim
    // Its caller may take it back until it is RUNNING: only then is the slot this worker's to write into.
    const claimed = stateWord(CLAIMED, actor, generation)
    if (!tasks.move(slot, claimed, stateWord(RUNNING, actor, generation))) return
    this.#finish(claim, OUTCOME_TIMED_OUT)
  }

  /** Wakes those for whom this batch made work. */
  flush(): void {
    if (!this.#hasMadeWork) return
    this.#hasMadeWork = false
    for (let client = 0; client < this.#toRing.length; client++) {
      if (!this.#toRing[client]) continue
      this.#toRing[client] = false
      this.#control.bells.ring(client)
    }
    for (let step = this.#step + 1; step < this.#toWake.length; step++) {
      if (!this.#toWake[step]) continue
      this.#toWake[step] = false
      this.#control.wakeWorker(step)
    }
  }

  async #deliverSlowly(
    claims: readonly Claim[],
    handled: readonly object[],
    from: number,
  ): Promise<void> {
    for (let index = from; index < claims.length; index++) {
      const obstacle = this.#tryHandOver(claims[index]!, handled[index]!, this.#control.clock.now())
      if (obstacle !== undefined)
        await this.#handOverLate(claims[index]!, handled[index]!, obstacle)
    }
    this.flush()
  }

  /** Tries again, asleep in between, until the task is handed over or its deadline has come. */
  async #handOverLate(claim: Claim, task: object, first: Obstacle): Promise<void> {
    const { tasks, clock } = this.#control
    const { slot } = claim
    const deadline = tasks.deadline(slot)
    for (let obstacle: Obstacle | undefined = first; obstacle !== undefined;) {
      this.flush()
      if (obstacle === 'room') this.#spinForRoom(slot)
      // What is missing may come before the request for it is seen: one more try after that.
      this.#askFor(obstacle, slot)
      if (obstacle === 'room' || this.#hasMemory() || tasks.isCancelled(slot))
        obstacle = this.#tryHandOver(claim, task, clock.now())
      if (obstacle !== 'memory') this.#endWant()
      if (obstacle === undefined) return
      if (clock.now() >= deadline) {
        this.#endWant()
        if (obstacle === 'room') this.#finish(claim, OUTCOME_TIMED_OUT)
        else this.#failLate(claim, new OutOfMemoryError())
        return
      }
      await this.#sleeper.sleep(deadline, () => tasks.isCancelled(slot))
      this.#payloads.quarantineMoved() // other code of the worker has run
    }
  }

  /** Arranges to be rung when what is missing comes. The bell is armed before: who takes the name off the list rings. */
  #askFor(obstacle: Obstacle, slot: number): void {
    const { tasks, queues, blocks, needs, actor } = this.#control
    this.#sleeper.arm()
    if (obstacle === 'memory') {
      tasks.setWaitsForMemory(slot, true)
      blocks.wait()
      needs.want(actor, this.#payloads.mostInUse)
      this.#control.wakeClients()
    } else {
      queues[this.#fullStep]!.waitForRoom(actor)
    }
  }

  /** Says that there is no more waiting for memory: what waits to be admitted may have it. */
  #endWant(): void {
    if (this.#control.needs.endWant(this.#control.actor)) this.#control.wakeMemoryWaiters()
  }

  /** Whether there is the memory that was missing last. */
  #hasMemory(): boolean {
    return this.#control.blocks.pagesInUse() <= this.#payloads.mostInUse
  }

  /** A short queue in front of a fast step is full for microseconds only: looks for room before asking for it. */
  #spinForRoom(slot: number): void {
    const { tasks, queues, clock } = this.#control
    const queue = queues[this.#fullStep]!
    const until = clock.now() + Math.min(this.#spin, LONGEST_LOOK_FOR_ROOM)
    while (clock.now() < until) {
      if (queue.hasRoom(tasks.priority(slot))) return
      letOthersGo()
    }
  }

  /** Settles a task that was handled, but cannot be handed over, with the reason for it. */
  #failLate(claim: Claim, error: unknown): void {
    this.#log.taskFailed(error, 1)
    this.fail(claim, error)
  }

  #tryHandOver(claim: Claim, task: object, now: number): Obstacle | undefined {
    const { tasks, queues, actor } = this.#control
    const { slot } = claim
    const generation = nextGeneration(claim.generation)
    if (tasks.isCancelled(slot)) {
      this.#finish(claim, OUTCOME_CANCELLED)
      return undefined
    }
    let next: number
    try {
      next = this.#nextStep(task)
      if (next !== OUTPUT && !queues[next]!.hasRoom(tasks.priority(slot))) {
        this.#fullStep = next
        return 'room'
      }
      this.#write(slot, generation, task)
    } catch (error) {
      if (error instanceof MemoryExhausted) {
        this.#payloads.abandon(slot, generation)
        return 'memory'
      }
      this.#failLate(claim, error)
      return undefined
    }
    if (next === OUTPUT) {
      const bytes = tasks.fieldsLength(slot, generation) + this.#payloads.placedBytes
      this.#meter.finished(this.#step, tasks.priority(slot), bytes)
      tasks.setDone(slot, now)
      this.#finish(claim, OUTCOME_COMPLETED)
      return undefined
    }
    this.#payloads.unlinkUnmarked(slot, generation)
    tasks.setTarget(slot, next, now)
    tasks.setWaitsForMemory(slot, false)
    const moved = tasks.move(
      slot,
      stateWord(RUNNING, actor, claim.generation),
      stateWord(QUEUED, actor, generation),
    )
    if (moved) {
      queues[next]!.push(slot, generation, tasks.priority(slot))
      queues[next]!.noteProducer(actor)
      this.#toWake[next] = this.#hasMadeWork = true
    }
    this.#payloads.releaseUnlinked()
    return undefined
  }

  /** Writes fields in the place of others that may have been written in part. */
  #tryWrite(slot: number, generation: number, fields: object): boolean {
    this.#payloads.abandon(slot, generation)
    try {
      this.#write(slot, generation, fields)
      return true
    } catch {
      return false
    }
  }

  /** Writes fields for a generation that does not count yet. */
  #write(slot: number, generation: number, fields: object): void {
    this.#payloads.begin(slot, generation, this.#step + 1)
    try {
      writeFields(this.#control, this.#encoder, slot, generation, fields, this.#payloads)
    } finally {
      this.#learnNeed()
    }
  }

  /** What the step adds to a task is left free for it from now on. */
  #learnNeed(): void {
    const { placedPages } = this.#payloads
    if (placedPages <= this.#mostPlaced) return
    this.#mostPlaced = placedPages
    this.#control.needs.raise(this.#step, placedPages)
  }

  #finish({ slot, generation }: Claim, outcome: number): void {
    const { tasks, completions, actor } = this.#control
    const next = nextGeneration(generation)
    // Without fields to read the client releases all of the slot's blocks by itself.
    if (outcome === OUTCOME_COMPLETED || outcome === OUTCOME_FAILED)
      this.#payloads.unlinkUnmarked(slot, next)
    tasks.setOutcome(slot, outcome, this.#step)
    if (tasks.move(slot, stateWord(RUNNING, actor, generation), stateWord(DONE, actor, next))) {
      const client = this.#control.clientOf(slot)
      completions[client]!.push(cellOf(slot, next))
      this.#toRing[client] = this.#hasMadeWork = true
    }
    this.#payloads.releaseUnlinked()
  }

  /** The next step that wants the task, or OUTPUT. */
  #nextStep(task: object): number {
    for (let step = this.#step + 1; step < this.#conditions.length; step++) {
      const condition = this.#conditions[step]
      if (condition === undefined || (task as Record<string, () => unknown>)[condition]!())
        return step
    }
    return OUTPUT
  }
}
