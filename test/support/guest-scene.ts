import { readSync } from 'node:fs'
import { Readable } from 'node:stream'
import { inspect, isDeepStrictEqual } from 'node:util'
import { ClientRecovery } from '../../src/runtime/client-recovery.ts'
import { readTaskCounts } from '../../src/task-counts.ts'
import { type BellEnds, createBell } from '../../src/transport/bells.ts'
import type { SmallClient } from './small-client.ts'
import { type Handle, SmallFlow, SmallWorker } from './small-flow.ts'

/** The number of the client that dies. The flow's own client, number 0, is the bystander. */
const GUEST = 1
/** Of two clients, two workers of the first step, one of the second. */
const bells: readonly BellEnds[] = Array.from({ length: 5 }, () => createBell())

const drained = Buffer.alloc(4096)
/** Whether the bell of the dead client has been rung since the last time. */
function isRung(): boolean {
  let rings = 0
  try {
    for (;;) rings += readSync(bells[GUEST]!.read, drained)
  } catch {
    return rings > 0 // the pipe is empty
  }
}

/** A task with a payload in shared memory that is filled with one number. */
export class Frame {
  number: number
  image: Uint8Array | undefined
  note: string

  constructor(number: number, image?: Uint8Array, note = '') {
    this.number = number
    this.image = image ?? new Uint8Array(2000).fill(number)
    this.note = note
  }
}

/** Fields that are too long for a slot: they lie in a block of their own. */
export const LONG = 'long'.repeat(1000)

/** What a step may do with a task of the guest. */
const changes: Readonly<Record<string, (task: Record<string, unknown>) => void>> = {
  'keeps its payload': () => undefined,
  'drops its payload': (task) => {
    task['image'] = undefined
  },
  'makes a new payload, and fields that lie in a block': (task) => {
    task['image'] = new Uint8Array(5000).fill(task['number'] as number)
    task['note'] = LONG
  },
  fails: () => {
    throw new Error('no'.repeat(1000))
  },
}
export const kinds: readonly string[] = Object.keys(changes)

/** The values in a payload; the block that it lies in changes as a whole, so that a few looks will do. */
function valuesIn(image: unknown): number[] {
  const bytes = (image ?? []) as ArrayLike<number>
  const values = new Set<number>()
  for (let index = 0; index < bytes.length; index += 499) values.add(bytes[index]!)
  return [...values]
}

/** A task, and the number that it was given with. */
interface Submitted {
  readonly frame: Frame
  readonly number: number
}

/** What is not as it should be once both steps have handled a task. */
function complaintsOf(client: SmallClient, { frame, number }: Submitted): string[] {
  const { timesSettled, error } = client.outcomes.get(frame)!
  const seen = { timesSettled, error, number: frame.number, image: valuesIn(frame.image) }
  const expected = { timesSettled: 1, error: undefined, number: number + 2, image: [number] }
  return isDeepStrictEqual(seen, expected) ? [] : [`frame ${number}: ${inspect(seen)}`]
}

/** A flow with a guest who is about to die, and a bystander, who must not notice. */
export class Scene {
  readonly flow: SmallFlow = new SmallFlow(bells, 2)
  readonly guest: SmallClient = this.flow.join(GUEST)
  /** With which the guest's tasks can be cancelled. */
  readonly signal: AbortSignal = new AbortController().signal
  readonly #abortListeners: (() => void)[] = []
  /** Results that the guest holds. */
  results: readonly Frame[] = []
  /** What a handler saw that it should not have seen. */
  readonly #sights: string[] = []
  readonly #bystanders: (Submitted & { isExcused: boolean })[] = []
  readonly #newcomers: Submitted[] = []
  readonly #workers: ({ worker: SmallWorker; batchSize: number } | undefined)[] = []
  #recovery: ClientRecovery | undefined
  #isClear = false
  #newcomer: SmallClient | undefined

  constructor() {
    // The real thing reports what a listener throws as an uncaught error: here that is a death, and expected.
    Object.assign(this.signal, {
      addEventListener: (_: string, listener: () => void) => this.#abortListeners.push(listener),
    })
  }

  /** The guest cancels its tasks. */
  cancel(): void {
    for (const listener of this.#abortListeners) listener()
  }

  /** The bystander has a task handled. */
  bystand(number: number): void {
    const frame = this.flow.submit(new Frame(number))
    this.#bystanders.push({ frame, number, isExcused: false })
  }

  /** The guest has tasks handled, and holds their results. */
  holdResults(): void {
    this.results = [100, 110].map((number) => this.guest.submit(new Frame(number)))
    this.turns()
    this.guest.client.tick()
  }

  /** The guest has the payloads that it holds handled again. */
  borrow(): void {
    this.results.forEach(({ image }, index) => {
      this.guest.submit(new Frame(120 + 10 * index, image))
    })
  }

  /** The guest receives a body, for which it needs larger and larger blocks. */
  receive(): void {
    const source = new Readable({ read: () => undefined })
    const size = { size: undefined, maxSize: 20_000, elementBytes: 1 }
    const options = { ...size, timeout: Infinity, signal: undefined }
    this.guest.client.uploads
      .receive({}, source, options, () => undefined)
      .done.catch(() => undefined)
    for (let chunk = 0; chunk < 4; chunk++) source.emit('data', new Uint8Array(2000))
    source.emit('end')
  }

  /** A worker claims all that waits, and no more. */
  claim(): void {
    const actor = this.flow.shape.clients
    const [queue] = this.flow.attach(actor).queues
    while (queue!.claim(actor) >= 0);
  }

  /** A worker's turn. */
  turn(step: number, kind?: string, batchSize?: number): void {
    this.beginTurn(step, kind, batchSize)()
  }

  /** A worker claims and starts a batch; the rest of its turn is returned. */
  beginTurn(step: number, kind = kinds[0]!, batchSize = 2): () => void {
    const worker = this.#workerOf(step, batchSize)
    const batch = worker.begin()
    return () => worker.complete(batch, this.#handle(changes[kind]!))
  }

  /** Turns of both steps until nothing waits any more. */
  turns(kind?: string, batchSize?: number): void {
    for (let round = 0; round < 2; round++) {
      this.flow.control.queues.forEach((queue, step) => {
        if (!queue.isEmpty()) this.turn(step, kind, batchSize)
      })
    }
  }

  /** The guest is dead, and that is known. */
  recover(): void {
    if (this.#recovery !== undefined) return
    this.guest.close()
    this.#recovery = new ClientRecovery(this.flow.control, GUEST)
    this.#look()
  }

  recoverWorker(step: number): void {
    for (const slot of this.flow.runningOf(step, 0)) {
      const bystander = this.#bystanders[slot]
      if (bystander !== undefined) bystander.isExcused = true
    }
    this.flow.recover(step, 0, { retries: 1 })
    this.#workers[step] = undefined
    if (this.#recovery !== undefined && isRung()) this.#look()
  }

  /** If everything has been taken back, the place goes to the next client at once. */
  welcome(): void {
    if (!this.#isClear || this.#newcomer !== undefined) return
    this.#newcomer = this.flow.join(GUEST)
    for (const number of [200, 210])
      this.#newcomers.push({ frame: this.#newcomer.submit(new Frame(number)), number })
  }

  /** Goes on until nothing is left to do. Returns what anybody but the guest has noticed, or is not as it should be. */
  complaints(): string[] {
    this.#finish()
    const { flow } = this
    if (!this.#isClear) return ['the place of the guest is not free']
    this.welcome()
    this.#finish()
    const newcomer = this.#newcomer!
    const complaints = [
      ...this.#sights,
      ...this.#bystanders.flatMap((it) => (it.isExcused ? [] : complaintsOf(flow, it))),
      ...this.#newcomers.flatMap((it) => complaintsOf(newcomer, it)),
    ]
    const { admitted, completed, pending } = newcomer.client.tally()
    if (admitted !== 2 || completed !== 2 || pending !== 0)
      complaints.push(`a book of ${admitted} admitted, ${completed} completed, ${pending} pending`)
    const unsettled = readTaskCounts(flow.control).pending
    if (unsettled !== 0) complaints.push(`${unsettled} tasks are not accounted for`)
    flow.release()
    newcomer.release()
    for (const [what, count] of Object.entries(flow.leftovers()))
      complaints.push(`${what}: ${count}`)
    flow.close()
    newcomer.close()
    return complaints
  }

  /** Changes the guest's tasks. Anybody may come in between its two looks at each payload. */
  #handle(change: (task: Record<string, unknown>) => void): Handle {
    return (tasks) => {
      const before = tasks.map((task) => valuesIn(task['image']))
      this.flow.control.tasks.word(0)
      tasks.forEach((task, index) => {
        const seen = [...before[index]!, ...valuesIn(task['image'])]
        if (new Set(seen).size > 1) this.#sights.push(`${String(task['number'])}: ${String(seen)}`)
        const number = task['number'] as number
        task['number'] = number + 1
        if (number >= 100 && number < 200) change(task)
      })
    }
  }

  #workerOf(step: number, batchSize: number): SmallWorker {
    const known = this.#workers[step]
    if (known?.batchSize === batchSize) return known.worker
    const worker = new SmallWorker(this.flow, step, 0, { batchSize })
    this.#workers[step] = { worker, batchSize }
    return worker
  }

  /** Everybody does what there is to do. What the guest left is looked at only when the guest's bell rings. */
  #finish(): void {
    for (let round = 0; round < 6; round++) {
      this.turns()
      if (!this.#isClear && isRung()) this.#look()
      this.flow.client.tick()
      this.#newcomer?.client.tick()
    }
  }

  #look(): void {
    isRung() // who is rung takes the bytes before it looks
    this.#isClear = this.#recovery!.look()
  }
}
