import type { FieldDecoder, FieldEncoder } from '../transport/codec.ts'
import type { Control } from '../transport/control.ts'
import { Payloads } from '../transport/payloads.ts'
import { Spinner, letOthersGo } from '../transport/spinner.ts'
import { EXPIRED } from '../metrics/counters.ts'
import type { StepMeter } from '../metrics/meters.ts'
import { BatchRunner, type RunnerOptions } from './batch-runner.ts'
import { Batcher, type Claim } from './batcher.ts'
import type { Company } from './company.ts'
import { Delivery } from './delivery.ts'
import type { MemoryLimit } from './memory-limit.ts'
import { type Pace, Turns } from './pace.ts'
import type { Sleeper } from './sleeper.ts'

export interface LoopOptions extends RunnerOptions {
  readonly worker: number
  readonly conditions: readonly (string | undefined)[]
  readonly batchSize: number
  readonly batchTimeout: number
  /** Longest spin in milliseconds. */
  readonly spin: number
  readonly memoryLimit?: MemoryLimit | undefined
}

/** Lets the event loop turn at least this often, in milliseconds. */
const YIELD_EVERY = 2
const LOOKS_PER_TURN = 2

const none: Claim[] = []

const nextTurn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve)
  })

/** Gathers batches and has them run, one after another. */
export class StepLoop {
  readonly #control: Control
  readonly #options: LoopOptions
  readonly #batcher: Batcher
  readonly #runner: BatchRunner
  readonly #delivery: Delivery
  readonly #sleeper: Sleeper
  readonly #spinner: Spinner
  readonly #turns: Turns
  /** The worker's loops, where it has several. */
  readonly #company: Company | undefined
  #stopping = false

  constructor(
    control: Control,
    options: LoopOptions,
    encoder: FieldEncoder,
    decoder: FieldDecoder,
    sleeper: Sleeper,
    meter: StepMeter,
    pace: Pace,
    company?: Company,
  ) {
    this.#control = control
    this.#options = options
    this.#sleeper = sleeper
    this.#turns = new Turns(pace)
    this.#company = company
    this.#spinner = new Spinner(options.spin)
    const payloads = new Payloads(control)
    this.#delivery = new Delivery(
      control,
      options.step,
      options.conditions,
      encoder,
      payloads,
      sleeper,
      options.spin,
      options.log,
      meter,
    )
    this.#runner = new BatchRunner(
      control,
      options,
      decoder,
      payloads,
      this.#delivery,
      meter,
      sleeper,
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
      quickest: (now) => pace.quickest(now),
      expire: (claim) => {
        meter.add(EXPIRED, 1)
        this.#delivery.expire(claim)
      },
    })
  }

  stop(): void {
    this.#stopping = true
  }

  /** Runs until {@link stop}; a batch that has begun is finished first. */
  async run(): Promise<void> {
    const { clock, actor, tasks } = this.#control
    const { batchSize, batchTimeout, step } = this.#options
    const company = this.#company
    const queue = this.#control.queues[step]!
    let lastTurn = clock.now()
    let known = -1
    while (!this.#stopping) {
      this.#options.memoryLimit?.look(this.#runner.deliveredAt)
      if (company !== undefined) await company.join()
      const exclusive = batchSize > 1
      let hasWaited = false
      let batch = none
      if (!exclusive || queue.takeGathering(actor)) {
        batch = this.#batcher.claim(none, batchSize, known)
        if (batchTimeout > 0 && batch.length > 0 && !this.#batcher.isClosed) {
          batch = await this.#batcher.fill(batch)
          hasWaited = true
        }
        if (exclusive) queue.endGathering(actor)
      }
      known = -1
      if (batch.length === 0) {
        this.#delivery.flush()
        company?.leave()
        let now = clock.now()
        if (now - lastTurn > YIELD_EVERY) {
          await nextTurn()
          lastTurn = now = clock.now()
        }
        this.#turns.rest(now)
        // Looking holds the event loop, which another loop's batch may wait for.
        if (company?.isPresent === true || !this.#spin(now)) {
          if (await this.#sleepForWork()) lastTurn = clock.now()
        }
        continue
      }
      if (queue.hasSleeper() && !queue.isEmpty()) this.#control.wakeWorker(step)
      if (company !== undefined && tasks.deathsSeen(batch[0]!.slot) > 0) {
        await company.beAlone()
        hasWaited = true
      }
      const { claimedAt } = batch[0]!
      const gatheredAt = hasWaited ? clock.now() : claimedAt
      batch = this.#batcher.start(batch, gatheredAt)
      if (batch.length > 0) this.#turns.begin(batch, claimedAt, gatheredAt)
      const pending = batch.length > 0 ? this.#runner.run(batch, gatheredAt) : undefined
      if (pending !== undefined) {
        await pending
        company?.leave()
        lastTurn = clock.now()
        continue
      }
      company?.leave()
      const settledAt = batch.length > 0 ? this.#runner.deliveredAt : clock.now()
      if (settledAt - lastTurn > YIELD_EVERY) {
        await nextTurn()
        lastTurn = clock.now()
      } else if (company === undefined) {
        known = this.#runner.timeAfter // nothing is awaited from here to the next claim
      }
    }
  }

  /** Looks for work for as long as that promises to pay; true when there is some. */
  #spin(now: number): boolean {
    const { clock } = this.#control
    const queue = this.#control.queues[this.#options.step]!
    const until = this.#spinner.begin(now)
    if (until === 0) return false
    for (;;) {
      for (let looks = 0; looks < LOOKS_PER_TURN; looks++) {
        if (!queue.isEmpty() && !queue.isGathering()) {
          this.#spinner.hit()
          return true
        }
      }
      if (clock.now() >= until) break
      letOthersGo() // and looks again, however long that was
    }
    this.#spinner.miss()
    return false
  }

  /** Sleeps until there may be work; true when it has slept, and not found some at the last look. */
  async #sleepForWork(): Promise<boolean> {
    const { step, worker } = this.#options
    const queue = this.#control.queues[step]!
    const sleep = this.#sleeper.sleep(Infinity, () => {
      // Among the sleepers only once the bell is armed: who takes the name off the list rings.
      queue.sleep(worker)
      return this.#stopping || (!queue.isEmpty() && !queue.isGathering())
    })
    await sleep
    // The worker's name stands for all its loops: it stays on the list while one of them sleeps.
    if (!this.#sleeper.isAsleep) queue.wake(worker)
    return sleep !== undefined
  }
}
