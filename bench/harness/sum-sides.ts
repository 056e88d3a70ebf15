import type { Opened } from '../programs/sum-orders.ts'
import type { SidePlan } from '../sides/side.ts'
import { type Missing, missingPackage, missingPython } from './peers.ts'
import { Program } from './program.ts'

/** At least what is in flight, so that no task waits for room in the queue. */
export const QUEUE_SIZE = 1024

/** A way of having the sum task done, in one of its modes. */
export interface Side {
  /** Whose it is, as the page calls it. */
  readonly family: string
  /** The mode, for the rows. */
  readonly name: string
  /** Node.js or not: the targets tell them apart. */
  readonly kind: 'ours' | 'node' | 'python'
  readonly parameters: Readonly<Record<string, unknown>>
  start(shape: Shape): Promise<Program<Opened>>
}

/** How many workers, and of how many steps. */
export interface Shape {
  readonly workers: number
  readonly steps?: number
}

function nodeSide(
  kind: Side['kind'],
  family: string,
  mode: string,
  side: string,
  options: SidePlan['options'],
): Side {
  return {
    family,
    name: mode === '' ? family : `${family}/${mode}`,
    kind,
    parameters: options,
    start: ({ workers, steps = 1 }) =>
      Program.node<Opened>('sum', { side, workers, steps, options } satisfies SidePlan),
  }
}

/** This library, with a queue for all that is in flight. */
export const ours: Side = nodeSide('ours', 'aqueduct-ts', '', 'aqueduct', {
  queueSize: QUEUE_SIZE,
})

/** Tasks that wait in this process and are done by nobody: what pending tasks cost at the least. */
export const promisesAlone: Side = nodeSide('node', 'promises alone', '', 'promises', {})

/** This library, set up in other ways. */
export const oursOtherwise: readonly Side[] = [
  nodeSide('ours', 'aqueduct-ts, threads', '', 'aqueduct', {
    queueSize: QUEUE_SIZE,
    isolation: 'thread',
  }),
  nodeSide('ours', 'aqueduct-ts, batches of 16', '', 'aqueduct', {
    queueSize: QUEUE_SIZE,
    batchSize: 16,
  }),
  nodeSide('ours', 'aqueduct-ts, default queue', '', 'aqueduct', {}),
]

const piscina = (['sync', 'async', 'disabled'] as const).flatMap((atomics) =>
  [1, 16].map((concurrentTasksPerWorker) =>
    nodeSide('node', 'piscina', `${atomics}-${concurrentTasksPerWorker}`, 'piscina', {
      atomics,
      concurrentTasksPerWorker,
    }),
  ),
)
const tinypool = [true, false].flatMap((useAtomics) =>
  [1, 16].map((concurrentTasksPerWorker) =>
    nodeSide(
      'node',
      'tinypool',
      `${useAtomics ? 'atomics' : 'events'}-${concurrentTasksPerWorker}`,
      'tinypool',
      { useAtomics, concurrentTasksPerWorker },
    ),
  ),
)
const poolifier = [nodeSide('node', 'poolifier', '', 'poolifier', {})]
const workerpool = ['thread', 'process'].map((workerType) =>
  nodeSide('node', 'workerpool', workerType, 'workerpool', { workerType }),
)
const childProcess = ['json', 'advanced'].map((serialization) =>
  nodeSide('node', 'child_process', serialization, 'child-process', { serialization }),
)

/** Avito's Aqueduct, driven by asyncio. */
export const original: Side = {
  family: "Avito's Aqueduct",
  name: "Avito's Aqueduct",
  kind: 'python',
  parameters: { queueSize: QUEUE_SIZE },
  start: ({ workers, steps = 1 }) =>
    Program.python<Opened>('sum', {
      side: 'aqueduct',
      workers,
      steps,
      options: { queueSize: QUEUE_SIZE },
    } satisfies SidePlan),
}

/** The peers that are there, and those that are not; a quick run takes the first mode of each. */
export function sumPeers(quick: boolean): { peers: readonly Side[]; missing: readonly Missing[] } {
  const missing: Missing[] = []
  const there = (
    name: string,
    modes: readonly Side[],
    reason: string | undefined,
  ): readonly Side[] => {
    if (reason !== undefined) missing.push({ name, reason })
    return reason !== undefined ? [] : quick ? modes.slice(0, 1) : modes
  }
  const peers = [
    ...there('piscina', piscina, undefined),
    ...there('tinypool', tinypool, missingPackage('tinypool')),
    ...there('poolifier', poolifier, missingPackage('poolifier')),
    ...there('workerpool', workerpool, missingPackage('workerpool')),
    ...there('child_process', childProcess, undefined),
    ...there(original.family, [original], missingPython()),
  ]
  return { peers, missing }
}
