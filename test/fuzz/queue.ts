import assert from 'node:assert/strict'
import fc from 'fast-check'
import { diesAt } from '../support/atomics.ts'
import { turn } from '../support/flow.ts'
import { type Handle, SmallFlow, SmallWorker } from '../support/small-flow.ts'

/** A task with a payload that is filled with one number. */
class Parcel {
  number: number
  image: Uint8Array | undefined
  note: string

  constructor(number: number, bytes: number, note: string) {
    this.number = number
    this.image = new Uint8Array(bytes).fill(number % 251)
    this.note = note
  }
}

const changes: readonly ((task: Record<string, unknown>) => void)[] = [
  () => undefined,
  (task) => {
    task['note'] = 'long'.repeat(500)
  },
  (task) => {
    task['image'] = (task['image'] as Uint8Array).slice()
  },
  (task) => {
    task['mask'] = new Uint8Array(3000)
  },
]

const handleWith =
  (change: number): Handle =>
  (tasks) => {
    for (const task of tasks) {
      task['number'] = (task['number'] as number) + 1
      changes[change]!(task)
    }
  }

const workers = fc.constantFrom<readonly [step: number, worker: number]>([0, 0], [0, 1], [1, 0])
const change = fc.nat(changes.length - 1)
const batchSize = fc.integer({ min: 1, max: 3 })
const commands = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      name: fc.constant('submit' as const),
      bytes: fc.constantFrom(10, 2000, 5000, 9000),
      timeout: fc.constantFrom(Infinity, Infinity, 20),
      priority: fc.nat(2),
      isLong: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      name: fc.constant('turn' as const),
      worker: workers,
      change,
      batchSize,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      name: fc.constant('die' as const),
      worker: workers,
      change,
      batchSize,
      step: fc.integer({ min: 1, max: 400 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ name: fc.constant('recover' as const), worker: workers }) },
  { weight: 2, arbitrary: fc.record({ name: fc.constant('cancel' as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ name: fc.constant('advance' as const), by: fc.nat(15) }) },
  { weight: 4, arbitrary: fc.record({ name: fc.constant('tick' as const) }) },
)
type Command = typeof commands extends fc.Arbitrary<infer One> ? One : never

interface Given {
  readonly parcel: Parcel
  readonly number: number
  readonly caller: AbortController
  /** How it may end, other than by being completed. */
  readonly mayEnd: Set<string>
  isReleased: boolean
}

const OF_DEATHS = ['AQ_WORKER_DIED', 'AQ_TASK_POISONED']

/** A flow to which anything is done, and the list of what must come of it. */
class Scene {
  readonly #flow = new SmallFlow()
  readonly #given: Given[] = []
  /** Those that have died, and of whom nobody knows yet. */
  readonly #dead = new Map<string, readonly [number, number]>()
  #now = 0
  /** Tasks that were started by workers that have died. */
  #started = 0

  do(command: Command): void {
    const flow = this.#flow
    switch (command.name) {
      case 'submit': {
        const number = 10 * (1 + this.#given.length)
        const caller = new AbortController()
        const parcel = new Parcel(number, command.bytes, command.isLong ? 'x'.repeat(900) : '')
        flow.submit(parcel, command.timeout, caller.signal, command.priority)
        const mayEnd = new Set(command.timeout < Infinity ? ['AQ_TIMEOUT'] : [])
        this.#given.push({ parcel, number, caller, mayEnd, isReleased: false })
        return
      }
      case 'turn':
        if (!this.#dead.has(String(command.worker))) this.#turn(command)
        return
      case 'die':
        if (this.#dead.has(String(command.worker))) return
        if (diesAt(command.step, () => this.#turn(command)))
          this.#dead.set(String(command.worker), command.worker)
        return
      case 'recover':
        this.#recover(command.worker)
        return
      case 'cancel': {
        const given = this.#given[command.which % Math.max(1, this.#given.length)]
        given?.caller.abort()
        given?.mayEnd.add('AQ_CANCELLED')
        return
      }
      case 'advance':
        flow.setTime((this.#now += command.by))
        return
      case 'tick':
        flow.client.tick()
        this.#release()
        return
    }
  }

  /** Lets everybody do what there is to do, and sees that nothing is left. */
  async end(): Promise<void> {
    const flow = this.#flow
    for (const worker of this.#dead.values()) this.#recover(worker)
    for (let round = 0; round < 1 + this.#given.length / 6; round++) {
      flow.finish([handleWith(0), handleWith(0)])
      this.#release()
    }
    await turn() // the promises have told their callers
    let died = 0
    for (const { parcel, number, mayEnd } of this.#given) {
      if (flow.isCompleted(parcel)) continue
      const error = flow.outcomes.get(parcel)!.error as { readonly code?: string } | undefined
      const code = error?.code ?? 'nothing'
      if (OF_DEATHS.includes(code)) died++
      else assert.ok(mayEnd.has(code), `task ${number} came to ${code}`)
    }
    assert.ok(died <= this.#started, `${died} tasks died, ${this.#started} were in dead hands`)
    assert.deepEqual(flow.leftovers(), {})
    flow.close()
  }

  #turn({
    worker: [step, number],
    change: kind,
    batchSize: size,
  }: Extract<Command, { name: 'turn' | 'die' }>): void {
    new SmallWorker(this.#flow, step, number, { batchSize: size }).turn(handleWith(kind))
  }

  #recover(worker: readonly [number, number]): void {
    if (!this.#dead.delete(String(worker))) return
    const [step, number] = worker
    this.#started += this.#flow.runningOf(step, number).length
    this.#flow.recover(step, number)
  }

  /** Looks at the results, and releases them: there is memory for all that is in flight. */
  #release(): void {
    for (const given of this.#given) {
      const { parcel, number, isReleased } = given
      if (isReleased || !this.#flow.isCompleted(parcel)) continue
      given.isReleased = true
      assert.equal(parcel.number, number + 2)
      assert.deepEqual([...new Set(parcel.image)], [number % 251])
    }
    this.#flow.release()
  }
}

/** Whatever is done by whom, and whoever dies: each task is settled once, whole, and nothing is left. */
export const keepsItsTasks = fc.asyncProperty(
  fc.array(commands, { minLength: 5, maxLength: 60 }),
  async (script) => {
    const scene = new Scene()
    for (const command of script) scene.do(command)
    await scene.end()
    await turn() // what was closed is closed for good
  },
)
