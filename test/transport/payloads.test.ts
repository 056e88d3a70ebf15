import { describe, expect, test } from 'vitest'
import { PayloadTooLargeError } from '../../src/errors.ts'
import { ownedByActor } from '../../src/memory/block-table.ts'
import { PAGE_BYTES } from '../../src/memory/geometry.ts'
import { eachPreemption } from '../support/atomics.ts'
import { type Handle, SmallFlow, SmallWorker } from '../support/small-flow.ts'

const THIEF = ownedByActor(3)
const nothing: Handle = () => undefined
let flow: SmallFlow

function start(): SmallFlow {
  flow = new SmallFlow()
  return flow
}

/** Lets the promises say what happened. */
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

function expectEmpty(): void {
  flow.release()
  expect(flow.leftovers()).toStrictEqual({})
  flow.close()
}

describe('a task whose payloads can never be placed is refused at once', () => {
  const limit = 48 // pages that admission may use of the 64

  test.each([
    ['larger than all memory', [65]],
    ['larger than admission may use', [limit + 1]],
    ['that only its block is too large for', [limit - 1, 1.5]],
    ['that are too large together', [30, 30]],
  ])('%s', async (_, pages) => {
    const task = start().submit({
      frames: pages.map((count) => new Uint8Array(count * PAGE_BYTES)),
    })
    await settled()
    const { error } = flow.outcomes.get(task)!
    expect(error).toBeInstanceOf(PayloadTooLargeError)
    const { bytes, maxBytes } = error as PayloadTooLargeError
    expect(bytes).toBeGreaterThan(maxBytes)
    expectEmpty()
  })

  test('and so is a result that has no place beside its own input', async () => {
    const task = start().submit({ frame: new Uint8Array(40 * PAGE_BYTES) })
    flow.finish([
      ([first]) => {
        if (first !== undefined) first['mask'] = new Uint8Array(40 * PAGE_BYTES)
      },
      nothing,
    ])
    await settled()
    expect(flow.outcomes.get(task)!.error).toBeInstanceOf(PayloadTooLargeError)
    expectEmpty()
  })
})

test('a task whose payloads find no place now waits until others have released theirs', () => {
  const first = start().submit({ frame: new Uint8Array(40 * PAGE_BYTES) })
  const second = flow.submit({ frame: new Uint8Array(40 * PAGE_BYTES) })
  expect(flow.control.queues[0]!.waiting(0)).toBe(1)
  expect(flow.outcomes.get(second)!.timesSettled).toBe(0)
  flow.finish([nothing, nothing])
  expect(flow.isCompleted(first)).toBe(true)
  flow.release()
  flow.finish([nothing, nothing])
  expect(flow.isCompleted(second)).toBe(true)
  expectEmpty()
})

describe('a payload that tasks of a batch share', () => {
  const sharers: Record<string, Handle> = {
    'and its own task drops': ([first, second]) => {
      second!['copy'] = first!['image']
      first!['image'] = undefined
    },
    'and its own task keeps': ([first, second]) => {
      second!['copy'] = first!['image']
    },
    'the other way round': ([first, second]) => {
      first!['copy'] = second!['image']
    },
  }

  test.each(Object.keys(sharers))('%s: it arrives as it was, or not at all', (kind) => {
    const total = eachPreemption((preempted) => {
      start()
      const tasks = [1, 1].map((byte) =>
        flow.submit({
          image: new Uint8Array(5000).fill(byte),
          copy: undefined as Uint8Array | undefined,
        }),
      )
      const seen = new Set<number>()
      const look = (): void => {
        for (const task of tasks) {
          if (!flow.isCompleted(task) || task.copy?.byteLength === 0) continue
          for (const byte of task.copy ?? []) seen.add(byte)
        }
      }
      const worker = new SmallWorker(flow, 0, 0)
      const last = new SmallWorker(flow, 1, 0)
      preempted(
        () => {
          // Whatever has been handed over by now is finished and released, and all free memory used by others.
          last.turn(nothing)
          flow.client.tick()
          look()
          flow.release()
          const { blocks, leases } = last.control
          const stolen: number[] = []
          for (let block = 0; block >= 0; block = blocks.allocate(5000, THIEF, 64)) {
            if (stolen.push(block) === 1) continue
            leases.withBytes(block, 0, 5000, (bytes) => bytes.fill(0xee))
          }
          for (const block of stolen.slice(1)) blocks.release(block)
        },
        () => worker.turn(sharers[kind]!),
      )
      flow.finish([nothing, nothing])
      look()
      for (const bytes of seen) expect(bytes).toBe(1)
      expectEmpty()
    })
    expect(total).toBeGreaterThan(40)
  })
})
