import { InputWrittenError } from '../errors.ts'
import { FAILED } from '../metrics/counters.ts'
import type { StepMeter } from '../metrics/meters.ts'
import type { FieldDecoder } from '../transport/codec.ts'
import type { Control } from '../transport/control.ts'
import { readFields } from '../transport/fields.ts'
import type { Payloads } from '../transport/payloads.ts'
import { Batch } from './batch.ts'
import { BatchMeasures } from './batch-measures.ts'
import type { Claim } from './batcher.ts'
import { CallerWatch } from './caller-watch.ts'
import type { Delivery } from './delivery.ts'
import type { InputCheck } from './input-check.ts'
import type { FailureLog } from './log.ts'
import type { LoopPulse } from './pulse.ts'
import type { Sleeper } from './sleeper.ts'
import { type Failed, split } from './split.ts'

/** What the loop calls. */
interface Handler {
  handle(tasks: readonly object[], context: object): unknown
}

export interface RunnerOptions {
  readonly step: number
  readonly handler: Handler
  /** Whether a batch that throws may be handled again in parts. */
  readonly splits: boolean
  /** Makes an empty task of a class, by the class's number, for what was claimed. */
  readonly rebuild: (taskClass: number, claim: Claim, batch: Batch) => object
  readonly log: FailureLog
  /** Hears when a batch is in `handle`. */
  readonly pulse?: LoopPulse
  /** Looks for writes of the handler into its input. */
  readonly inputCheck?: InputCheck | undefined
}

/** Tasks that have failed, and what the handler had said of some of them before it threw. */
interface FailedTasks extends Failed<Claim> {
  readonly failures?: ReadonlyMap<Claim, unknown> | undefined
}

/** To decode fewer bytes takes no longer than to read the clock after it. */
const BYTES_PER_LOOK_AT_CLOCK = 4096

/** Decodes the tasks of a batch, has them handled, and settles them or hands them over. */
export class BatchRunner {
  readonly #control: Control
  readonly #options: RunnerOptions
  readonly #decoder: FieldDecoder
  readonly #payloads: Payloads
  readonly #delivery: Delivery
  readonly #meter: StepMeter
  readonly #measures: BatchMeasures
  readonly #watch: CallerWatch
  #deliveredAt = 0
  #timeAfter = -1
  /** The payloads of the batch as they were before the handler was called, if that is to be checked. */
  #inputs: ReturnType<InputCheck['copy']> = []
  /** Bytes of the tasks of the batch that is being decoded. */
  #bytes = 0

  constructor(
    control: Control,
    options: RunnerOptions,
    decoder: FieldDecoder,
    payloads: Payloads,
    delivery: Delivery,
    meter: StepMeter,
    sleeper: Sleeper,
  ) {
    this.#control = control
    this.#options = options
    this.#decoder = decoder
    this.#payloads = payloads
    this.#delivery = delivery
    this.#meter = meter
    this.#measures = new BatchMeasures(control, options.step, meter)
    this.#watch = new CallerWatch(control, sleeper)
  }

  /** When the last batch was handled, in flow time. */
  get deliveredAt(): number {
    return this.#deliveredAt
  }

  /**
   * The time, read when the last batch was handled, if that was handed over by now and nothing else has happened since than
   * what takes no longer than to read the clock; or -1.
   */
  get timeAfter(): number {
    return this.#timeAfter
  }

  /** Has started tasks handled. Returns a promise only when something has to be waited for. */
  run(started: readonly Claim[], gatheredAt: number): Promise<void> | undefined {
    this.#bytes = 0
    this.#timeAfter = -1
    const batch = this.#decode(started)
    if (batch.claims.length === 0) return undefined
    const startedAt = this.#bytes < BYTES_PER_LOOK_AT_CLOCK ? gatheredAt : this.#control.clock.now()
    this.#meter.gathered(startedAt - started[0]!.claimedAt, batch.claims.length)
    this.#options.pulse?.begin(startedAt)
    try {
      const result = this.#options.handler.handle(batch.tasks, batch)
      if (isThenable(result)) return this.#await(result, batch, startedAt)
    } catch (error) {
      return this.#onThrown(batch, error, startedAt)
    }
    return this.#deliver(batch, startedAt)
  }

  async #await(result: PromiseLike<unknown>, batch: Batch, startedAt: number): Promise<void> {
    try {
      await result
    } catch (error) {
      await this.#onThrown(batch, error, startedAt)
      return
    }
    await this.#deliver(batch, startedAt)
  }

  /** Hands over what was handled. */
  #deliver(batch: Batch, startedAt: number): Promise<void> | undefined {
    this.#options.pulse?.end()
    const written = this.#options.inputCheck?.compare(this.#inputs)
    if (written !== undefined) return this.#onThrown(batch, written, startedAt)
    batch.close()
    const { claims, tasks } = batch
    const now = (this.#deliveredAt = this.#control.clock.now())
    this.#measures.handled(claims, startedAt, now)
    const pending = batch.isWhole
      ? this.#delivery.deliver(claims, tasks, now)
      : this.#deliverRest(batch, now)
    if (pending !== undefined) return pending.finally(() => this.#payloads.closeAll())
    this.#payloads.closeAll()
    if (claims.length === 1 && this.#payloads.placedPages === 0) this.#timeAfter = now
    return undefined
  }

  /** Settles what the handler has failed, and for what it knows that nobody waits; hands over the rest. */
  #deliverRest(batch: Batch, now: number): Promise<void> | undefined {
    this.#payloads.quarantineMoved()
    const { failures } = batch
    const claims: Claim[] = []
    const tasks: object[] = []
    batch.claims.forEach((claim, index) => {
      const hasFailed = failures?.has(claim) === true
      if (!hasFailed && !batch.wasTold(claim)) {
        claims.push(claim)
        tasks.push(batch.tasks[index]!)
        return
      }
      const error = failures?.get(claim)
      if (!this.#forget(claim, now)) this.#fail([claim], error)
      else if (hasFailed && !batch.isAbort(error)) this.#tellFailed(error, 1)
    })
    return this.#delivery.deliver(claims, tasks, now)
  }

  async #onThrown(batch: Batch, error: unknown, startedAt: number): Promise<void> {
    const failed = this.#sortOut(batch, error)
    const giveUp = (group: FailedTasks): void => {
      this.#measures.handled(group.tasks, startedAt, this.#control.clock.now())
      this.#failAll(group)
    }
    if (failed !== undefined) {
      if (this.#options.splits)
        await split<Claim, FailedTasks>(failed, (it) => this.#again(it, startedAt), giveUp)
      else giveUp(failed)
    }
    this.#deliveredAt = this.#control.clock.now()
    this.#delivery.flush()
  }

  /** Decodes tasks from their last hand-over once more, and has them handled. Returns those that have failed. */
  async #again(claims: readonly Claim[], startedAt: number): Promise<FailedTasks | undefined> {
    const now = this.#control.clock.now()
    const batch = this.#decode(claims.filter((claim) => !this.#forget(claim, now)))
    if (batch.claims.length === 0) return undefined
    this.#options.pulse?.begin(now)
    try {
      await this.#options.handler.handle(batch.tasks, batch)
    } catch (error) {
      return this.#sortOut(batch, error)
    }
    await this.#deliver(batch, startedAt)
    return undefined
  }

  /** The tasks of a batch that threw; undefined if nobody waits for any of them: those are never handled again. */
  #sortOut(batch: Batch, thrown: unknown): FailedTasks | undefined {
    this.#options.pulse?.end()
    const written =
      thrown instanceof InputWrittenError
        ? thrown
        : this.#options.inputCheck?.compare(this.#inputs, thrown)
    const error = written ?? thrown
    batch.close()
    this.#payloads.closeAll()
    const now = this.#control.clock.now()
    const { claims } = batch
    const tasks = claims.filter((claim) => !this.#forget(claim, now))
    const gone = claims.length - tasks.length
    // A handler that stops because its callers have gone has not failed.
    if (gone > 0 && !batch.isAbort(error)) this.#tellFailed(error, gone)
    if (tasks.length === 0) return undefined
    // What the handler has written into is not what it would get the next time, nor anything that it says of it.
    if (written !== undefined) return { tasks, error, isFinal: true }
    return { tasks, error, hasShrunk: gone > 0, failures: batch.failures }
  }

  #decode(started: readonly Claim[]): Batch {
    const control = this.#control
    const batch = new Batch(this.#watch)
    for (const claim of started) {
      const { slot, generation } = claim
      try {
        const task = this.#options.rebuild(control.tasks.taskClass(slot), claim, batch)
        this.#payloads.begin(slot, generation, this.#options.step + 1)
        readFields(control, this.#decoder, slot, generation, task, this.#payloads, false)
        batch.add(claim, task)
        claim.bytes = control.tasks.fieldsLength(slot, generation) + this.#payloads.openedBytes
        this.#bytes += claim.bytes
      } catch (error) {
        this.#fail([claim], error)
        this.#delivery.flush()
      }
    }
    const { inputCheck } = this.#options
    if (inputCheck !== undefined) this.#inputs = inputCheck.copy(batch.tasks)
    return batch
  }

  #failAll({ tasks, error, failures }: FailedTasks): void {
    const own = tasks.filter((claim) => failures?.has(claim) === true)
    for (const claim of own) this.#fail([claim], failures?.get(claim))
    this.#fail(
      tasks.filter((claim) => !own.includes(claim)),
      error,
    )
  }

  #fail(claims: readonly Claim[], error: unknown): void {
    if (claims.length === 0) return
    this.#tellFailed(error, claims.length)
    for (const claim of claims) this.#delivery.fail(claim, error)
  }

  #tellFailed(error: unknown, tasks: number): void {
    this.#options.log.taskFailed(error, tasks)
    this.#meter.add(FAILED, tasks)
  }

  /** Settles a running task for which nobody waits any more; false if somebody does. */
  #forget(claim: Claim, now: number): boolean {
    if (!this.#watch.callers.hasGone(claim, now)) return false
    this.#delivery.forget(claim)
    return true
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'then' in value &&
    typeof value.then === 'function'
  )
}
