import type { FieldDecoder, FieldEncoder } from '../transport/codec.ts'
import type { Control } from '../transport/control.ts'
import { readFields } from '../transport/fields.ts'
import { Payloads } from '../transport/payloads.ts'
import { Spinner } from '../transport/spinner.ts'
import { EXPIRED, FAILED } from '../metrics/counters.ts'
import type { StepMeter } from '../metrics/meters.ts'
import { Batcher, type Claim } from './batcher.ts'
import { Delivery } from './delivery.ts'
import type { FailureLog } from './log.ts'
import type { Sleeper } from './sleeper.ts'

/** What the loop calls. */
interface Handler {
  handle(tasks: readonly object[]): unknown
}

export interface LoopOptions {
  readonly step: number
  readonly worker: number
  readonly handler: Handler
  readonly writesInput: boolean
  /** Makes an empty task of a class, by the class's number, for what was claimed. */
  readonly rebuild: (taskClass: number, claim: Claim) => object
  readonly log: FailureLog
  readonly conditions: readonly (string | undefined)[]
  readonly batchSize: number
  readonly batchTimeout: number
  /** Longest spin in milliseconds. */
  readonly spin: number
}

/** Lets the event loop turn at least this often, in milliseconds. */
const YIELD_EVERY = 2
const SPINS_PER_LOOK_AT_CLOCK = 32
/** To decode fewer bytes takes no longer than to read the clock after it. */
const BYTES_PER_LOOK_AT_CLOCK = 4096

const nextTurn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve)
  })

/** Gathers batches, has them handled and delivers them, one after another. */
export class StepLoop {
  readonly #control: Control
  readonly #options: LoopOptions
  readonly #decoder: FieldDecoder
  readonly #payloads: Payloads
  readonly #batcher: Batcher
  readonly #delivery: Delivery
  readonly #sleeper: Sleeper
  readonly #spinner: Spinner
  readonly #meter: StepMeter
  #stopping = false
  /** When the last batch was on its way. */
  #deliveredAt = 0
  /** Bytes of the tasks of the batch that is being decoded. */
  #bytes = 0

  constructor(
    control: Control,
    options: LoopOptions,
    encoder: FieldEncoder,
    decoder: FieldDecoder,
    sleeper: Sleeper,
    meter: StepMeter,
  ) {
    this.#control = control
    this.#options = options
    this.#decoder = decoder
    this.#sleeper = sleeper
    this.#meter = meter
    this.#spinner = new Spinner(options.spin)
    this.#payloads = new Payloads(control)
    this.#delivery = new Delivery(
      control,
      options.step,
      options.conditions,
      encoder,
      this.#payloads,
      sleeper,
      options.spin,
      options.log,
    )
    this.#batcher = new Batcher(control, {
      step: options.step,
      batchSize: options.batchSize,
      batchTimeout: options.batchTimeout,
      sleep: async (until) => {
        // Who gathers is rung by name, and need not be among the sleepers.
        const queue = control.queues[options.step]!
        await sleeper.sleep(until, () => !queue.isEmpty())
      },
      expire: (claim) => {
        this.#meter.add(EXPIRED, 1)
        this.#delivery.expire(claim)
      },
    })
  }

  stop(): void {
    this.#stopping = true
  }

  /** Runs until {@link stop}; a batch that has begun is finished first. */
  async run(): Promise<void> {
    const { clock, actor } = this.#control
    const { batchSize, batchTimeout, step } = this.#options
    const queue = this.#control.queues[step]!
    let lastTurn = clock.now()
    while (!this.#stopping) {
      const exclusive = batchSize > 1
      let hasWaited = false
      let batch: Claim[] = []
      if (!exclusive || queue.takeGathering(actor)) {
        this.#batcher.claim(batch, batchSize)
        if (batchTimeout > 0 && batch.length > 0 && batch.length < batchSize) {
          await this.#batcher.fill(batch)
          hasWaited = true
        }
        if (exclusive) queue.endGathering(actor)
      }
      if (batch.length === 0) {
        this.#delivery.flush()
        if (!this.#spin()) await this.#sleepForWork()
        lastTurn = clock.now()
        continue
      }
      if (queue.hasSleeper() && !queue.isEmpty()) this.#control.wakeWorker(step)
      const gatheredAt = hasWaited ? clock.now() : batch[0]!.claimedAt
      batch = this.#batcher.start(batch, gatheredAt)
      if (batch.length > 0) {
        const pending = this.#handle(batch, gatheredAt)
        if (pending !== undefined) {
          await pending
          lastTurn = clock.now()
          continue
        }
      } else {
        this.#deliveredAt = clock.now()
      }
      if (this.#deliveredAt - lastTurn > YIELD_EVERY) {
        await nextTurn()
        lastTurn = clock.now()
      }
    }
  }

  /** Has a batch handled and delivers it. Returns a promise only when something has to be waited for. */
  #handle(batch: readonly Claim[], gatheredAt: number): Promise<void> | undefined {
    const claims: Claim[] = []
    const tasks: object[] = []
    this.#bytes = 0
    this.#decode(batch, claims, tasks, true)
    if (claims.length === 0) return undefined
    const startedAt = this.#bytes < BYTES_PER_LOOK_AT_CLOCK ? gatheredAt : this.#control.clock.now()
    this.#meter.gathered(startedAt - batch[0]!.claimedAt, claims.length)
    try {
      const result = this.#options.handler.handle(tasks)
      if (isThenable(result)) return this.#handleAsync(result, claims, tasks, startedAt)
    } catch (error) {
      return this.#split(claims, error, startedAt)
    }
    return this.#deliver(claims, tasks, startedAt)
  }

  async #handleAsync(
    result: PromiseLike<unknown>,
    claims: readonly Claim[],
    tasks: readonly object[],
    startedAt: number,
  ): Promise<void> {
    try {
      await result
    } catch (error) {
      await this.#split(claims, error, startedAt)
      return
    }
    await this.#deliver(claims, tasks, startedAt)
  }

  #deliver(
    claims: readonly Claim[],
    tasks: readonly object[],
    startedAt: number,
  ): Promise<void> | undefined {
    const now = (this.#deliveredAt = this.#control.clock.now())
    this.#measure(claims, startedAt, now)
    const pending = this.#delivery.deliver(claims, tasks, now)
    if (pending !== undefined) return pending.finally(() => this.#payloads.closeAll())
    this.#payloads.closeAll()
    return undefined
  }

  /**
   * A batch that threw is halved until the culprit stands alone, each half decoded again from the last hand-over. After
   * 2·log2(n) + 1 further calls what has not succeeded fails, so that a flood of bad tasks is not amplified. A handler
   * that writes into its input is not called twice.
   */
  async #split(batch: readonly Claim[], error: unknown, startedAt: number): Promise<void> {
    let calls = this.#options.writesInput ? 0 : 2 * Math.ceil(Math.log2(batch.length)) + 1
    const failing: { claims: readonly Claim[]; error: unknown }[] = [{ claims: batch, error }]
    this.#payloads.closeAll()
    for (let group = failing.pop(); group !== undefined; group = failing.pop()) {
      if (group.claims.length === 1 || calls <= 0) {
        this.#measure(group.claims, startedAt, this.#control.clock.now())
        this.#fail(group.claims, group.error)
        continue
      }
      const middle = Math.ceil(group.claims.length / 2)
      const bad: typeof failing = []
      for (const half of [group.claims.slice(0, middle), group.claims.slice(middle)]) {
        if (calls-- <= 0) {
          bad.push({ claims: half, error: group.error })
          continue
        }
        const claims: Claim[] = []
        const tasks: object[] = []
        this.#decode(half, claims, tasks, false)
        if (claims.length === 0) continue
        try {
          await this.#options.handler.handle(tasks)
          await this.#deliver(claims, tasks, startedAt)
        } catch (again) {
          this.#payloads.closeAll()
          bad.push({ claims, error: again })
        }
      }
      failing.push(...bad.toReversed())
    }
    this.#delivery.flush()
  }

  #decode(batch: readonly Claim[], claims: Claim[], into: object[], isFirst: boolean): void {
    const control = this.#control
    const { tasks } = control
    for (const claim of batch) {
      const { slot, generation } = claim
      try {
        const task = this.#options.rebuild(tasks.taskClass(slot), claim)
        this.#payloads.begin(slot, generation, this.#options.step + 1)
        readFields(control, this.#decoder, slot, generation, task, this.#payloads, false)
        into.push(task)
        claims.push(claim)
        if (isFirst && this.#meter.isOn) this.#measureArrival(claim)
      } catch (error) {
        this.#fail([claim], error)
        this.#delivery.flush()
      }
    }
  }

  #fail(claims: readonly Claim[], error: unknown): void {
    this.#options.log.taskFailed(error, claims.length)
    this.#meter.add(FAILED, claims.length)
    for (const claim of claims) this.#delivery.fail(claim, error)
  }

  #measure(claims: readonly Claim[], startedAt: number, now: number): void {
    if (!this.#meter.isOn) return
    const { tasks } = this.#control
    const { step } = this.#options
    const handleMs = now - startedAt
    let waitedMs = 0
    for (const { slot, claimedAt } of claims) {
      const queueMs = Math.max(0, claimedAt - tasks.queuedAt(slot))
      tasks.setTiming(slot, step, queueMs, startedAt - claimedAt, handleMs, claims.length)
      waitedMs += startedAt - claimedAt
    }
    this.#meter.handled(handleMs, claims.length, waitedMs)
  }

  /** A task has been decoded: how long it was on its way, and how much of it there was. */
  #measureArrival({ slot, generation, claimedAt }: Claim): void {
    const { tasks } = this.#control
    const from = tasks.stepBefore(slot, this.#options.step)
    const bytes = tasks.fieldsLength(slot, generation) + this.#payloads.openedBytes
    this.#bytes += bytes
    this.#meter.arrived(
      from,
      tasks.priority(slot),
      claimedAt - (from < 0 ? tasks.admittedAt(slot) : tasks.queuedAt(slot)),
      bytes,
    )
  }

  /** Looks for work for as long as that promises to pay; true when there is some. */
  #spin(): boolean {
    const { clock } = this.#control
    const queue = this.#control.queues[this.#options.step]!
    const until = this.#spinner.begin(clock.now())
    if (until === 0) return false
    do {
      for (let spins = 0; spins < SPINS_PER_LOOK_AT_CLOCK; spins++) {
        if (!queue.isEmpty() && !queue.isGathering()) {
          this.#spinner.hit()
          return true
        }
      }
    } while (clock.now() < until)
    this.#spinner.miss()
    return false
  }

  async #sleepForWork(): Promise<void> {
    const { step, worker } = this.#options
    const queue = this.#control.queues[step]!
    await this.#sleeper.sleep(Infinity, () => {
      // Among the sleepers only once the bell is armed: who takes the name off the list rings.
      queue.sleep(worker)
      return this.#stopping || (!queue.isEmpty() && !queue.isGathering())
    })
    // The worker's name stands for all its loops: it stays on the list while one of them sleeps.
    if (!this.#sleeper.isAsleep) queue.wake(worker)
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
