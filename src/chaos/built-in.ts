import { fork } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32 } from 'node:zlib'
import { Flow, type FlowLogger, FlowStep } from '../index.ts'
import { BuiltInTask, Label, type Poison, Reverse, Sum, steps } from './built-in-handlers.ts'
import { type Random, integerOf, oneOf } from './random.ts'
import type { ChaosService, Harm } from './service.ts'

const KiB = 2 ** 10
const MiB = 2 ** 20

/** The storm kills by the hundred: nothing of that is news. */
const silent: FlowLogger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** `guest.ts` here, `guest.js` in the package. */
const guestFile = fileURLToPath(new URL(`guest${extname(import.meta.url)}`, import.meta.url))

/** Milliseconds: a batch takes some ten, unless one of its tasks hangs. */
const handleTimeout = 2_000

const LARGEST = 4 * MiB
/** Share of the tasks up to here, and their sizes in bytes. */
const sizes: readonly (readonly [share: number, from: number, to: number])[] = [
  [0.6, 16, KiB],
  [0.85, KiB, 32 * KiB],
  [0.98, 32 * KiB, 256 * KiB],
  [1, MiB, LARGEST],
]

const ways: Readonly<Record<Harm, readonly [Poison['how'], ...Poison['how'][]]>> = {
  throw: ['throw'],
  die: ['exit', 'crash', 'kill'],
  hang: ['hang'],
}

/** Bytes that all payloads are pieces of: they look random, and are the same each time. */
const ALL_PAYLOADS = 2 * LARGEST

function sizeOf(random: Random): number {
  const share = random()
  const [, from, to] = sizes.find(([upTo]) => share < upTo) ?? sizes[0]!
  return integerOf(random, from, to)
}

/**
 * The service that a storm rages in unless it is given another: three steps on processes, tasks of a few bytes and of
 * megabytes. Each payload is a piece of one large one, and different from all others.
 */
export function builtInService(): ChaosService<BuiltInTask> {
  const payloads = createHash('shake256', { outputLength: ALL_PAYLOADS }).digest()
  const reversed = new Uint8Array(payloads).toReversed()
  const make = (source: Random, poison?: Poison): BuiltInTask => {
    const id = integerOf(source, 0, 2 ** 31)
    const size = sizeOf(source)
    const offset = integerOf(source, 0, payloads.length - size)
    return new BuiltInTask(id, payloads.subarray(offset, offset + size), offset, poison)
  }
  const addresses = new Map<unknown, string>()
  return {
    flow() {
      const address = `aqueduct-chaos-${randomUUID()}`
      const flow = new Flow(
        [
          new FlowStep(Reverse, { nprocs: 2, batchSize: 8, handleTimeout }),
          new FlowStep(Sum, { nprocs: 2, batchSize: 16, batchTimeout: 1, handleTimeout }),
          new FlowStep(Label, { batchSize: 8, handleCondition: 'wantsLabel', handleTimeout }),
        ],
        { queuePriorities: 3, memory: 512 * MiB, logger: silent, address, checkInputs: true },
      )
      addresses.set(flow, address)
      return flow
    },
    startGuest: (flow, seed) =>
      fork(guestFile, [addresses.get(flow)!, String(seed)], { execArgv: [], stdio: 'ignore' }),
    makeTask: (source) => make(source),
    makeHarmful: (harm, source) =>
      make(source, { step: oneOf(source, steps), how: oneOf(source, ways[harm]) }),
    workersOf: ({ pids }) => pids,
    verify(task) {
      const { offset, size } = task
      const end = payloads.length - offset
      const wanted = reversed.subarray(end - size, end)
      const isWhole = Buffer.compare(task.payload, payloads.subarray(offset, offset + size)) === 0
      const isReversed = task.reversed !== undefined && Buffer.compare(task.reversed, wanted) === 0
      const sum = crc32(wanted)
      const label = task.wantsLabel() ? `${task.id}: ${sum}` : undefined
      return isWhole && isReversed && task.sum === sum && task.label === label
    },
  }
}
