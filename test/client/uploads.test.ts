import { Readable } from 'node:stream'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { BodySource } from '../../src/index.ts'
import type { UploadOptions } from '../../src/client/upload.ts'
import { PAGE_BYTES } from '../../src/memory/geometry.ts'
import { bytesOf, pieces } from '../support/bodies.ts'
import { rejection, turn } from '../support/flow.ts'
import { SmallFlow } from '../support/small-flow.ts'

/** What admission and bodies may take of the small flow's 64 pages. */
const LIMIT = 48
const WORKERS = [() => undefined, () => undefined]

let flow: SmallFlow

beforeEach(() => {
  flow = new SmallFlow()
})

afterEach(() => {
  expectNothingLeft()
  flow.close()
})

function expectNothingLeft(): void {
  expect(flow.leftovers()).toEqual({})
}

type Size = { readonly size: number } | { readonly maxSize: number }

async function receive(
  source: BodySource,
  size: Size,
  options: Partial<UploadOptions> = {},
  task: object = {},
): Promise<ArrayBuffer> {
  let received = new ArrayBuffer(0)
  const how = {
    size: undefined,
    maxSize: undefined,
    elementBytes: 1,
    timeout: Infinity,
    signal: undefined,
    ...size,
    ...options,
  }
  await flow.client.uploads.receive(task, source, how, (bytes) => {
    received = bytes
  }).done
  return received
}

const release = (buffer: ArrayBuffer): void => {
  flow.client.uploads.watch(buffer).release()
  flow.client.tick() // the small flow has no bell
}

const inUse = (): number => flow.control.blocks.pagesInUse()

/** So many chunks of a page. */
const chunksOf = (pages: number): Readable =>
  Readable.from(Array.from({ length: pages }, () => new Uint8Array(PAGE_BYTES)))

/** A body of so many pages that has arrived. */
const held = (pages: number): Promise<ArrayBuffer> =>
  receive(Readable.from([new Uint8Array(pages * PAGE_BYTES)]), { size: pages * PAGE_BYTES })

/** Yields all chunks in one buffer: who has not copied a chunk when he asks for the next has lost it. */
async function* inOneBuffer(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(LIMIT * PAGE_BYTES)
  for (const chunk of chunks) {
    buffer.fill(0)
    buffer.set(chunk)
    yield buffer.subarray(0, chunk.length)
    await turn()
  }
}

const openers: ((chunks: Iterable<Uint8Array>) => BodySource)[] = [
  (chunks) => Readable.from(chunks),
  (chunks) => Readable.from(Buffer.concat([...chunks]), { highWaterMark: 100, objectMode: false }),
  (chunks) => ReadableStream.from(chunks),
  (chunks) => ReadableStream.from(inOneBuffer(chunks)),
  inOneBuffer,
]

test('however bodies are cut and however many there are at once, each arrives as it was sent', async () => {
  const upload = fc.record({
    length: fc.oneof(fc.nat(2_000), fc.nat(60_000), fc.nat(LIMIT * PAGE_BYTES)),
    cuts: fc.array(
      fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 50, max: 90_000 })),
      {
        minLength: 1,
        maxLength: 5,
      },
    ),
    opener: fc.nat(openers.length - 1),
    room: fc.option(fc.nat(LIMIT * PAGE_BYTES)),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(upload, { minLength: 1, maxLength: 8 }), async (uploads) => {
      await Promise.all(
        uploads.map(async ({ length, cuts, opener, room }, index) => {
          const sent = bytesOf(length, index + 1)
          // Small cuts of large bodies would take the test's time.
          const enough = cuts.map((cut) => Math.max(cut, Math.ceil(length / 500)))
          const size = room === null ? { size: length } : { maxSize: length + room }
          const buffer = await receive(openers[opener]!(pieces(sent, enough)), size)
          expect(inUse()).toBeLessThanOrEqual(LIMIT)
          expect(Buffer.compare(new Uint8Array(buffer), sent)).toBe(0)
          await turn()
          release(buffer)
        }),
      )
      expect(inUse()).toBe(0)
    }),
    { numRuns: 60 },
  )
})

test('whatever becomes of bodies, nothing of them is left', async () => {
  const upload = fc.record({
    length: fc.nat(100_000),
    cut: fc.integer({ min: 1_000, max: 50_000 }),
    opener: fc.nat(openers.length - 1),
    size: fc.oneof(fc.record({ size: fc.nat(120_000) }), fc.record({ maxSize: fc.nat(120_000) })),
    abortAfter: fc.nat(20),
    breaksAt: fc.nat(200_000),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(upload, { minLength: 1, maxLength: 8 }), async (uploads) => {
      await Promise.all(
        uploads.map(async ({ length, cut, opener, size, abortAfter, breaksAt }) => {
          function* breaking(): Generator<Uint8Array> {
            let sent = 0
            for (const piece of pieces(bytesOf(length), [cut])) {
              yield piece
              sent += piece.length
              if (sent > breaksAt) throw new Error('broken')
            }
          }
          const source = opener === 1 ? Readable.from(breaking()) : openers[opener]!(breaking())
          const hangUp = new AbortController()
          const { signal } = hangUp
          const [outcome] = await Promise.all([
            Promise.allSettled([receive(source, size, { signal })]).then(([settled]) => settled),
            (async () => {
              for (let turns = 0; turns < abortAfter; turns++) await turn()
              hangUp.abort()
            })(),
          ])
          if (outcome.status === 'fulfilled') release(outcome.value)
          flow.client.tick()
        }),
      )
      expect(flow.control.blocks.blocksInUse()).toBe(0)
    }),
    { numRuns: 60 },
  )
})

test('a deadline is that of the clock: without memory, without the body', async () => {
  const first = await held(40)
  const starved = rejection(receive(Readable.from([]), { size: 100_000 }, { timeout: 50 }))
  const slow = rejection(
    receive(new Readable({ read: () => undefined }), { maxSize: 1 }, { timeout: 50 }),
  )
  await turn()
  flow.setTime(49)
  flow.client.tick()
  await turn()
  flow.setTime(50)
  flow.client.tick()
  expect(await starved).toMatchObject({ code: 'AQ_OUT_OF_MEMORY' })
  expect(await slow).toMatchObject({ code: 'AQ_TIMEOUT', timeout: 50 })
  release(first)
  flow.setTime(0)
})

test('a body waits behind the task that has waited longer for memory, and the other way round', async () => {
  const order: string[] = []
  const blockers = [await held(16), await held(16), await held(16)]
  flow.setTime(1)
  flow.submit({ payload: new Uint8Array(32 * PAGE_BYTES) })
  flow.setTime(2)
  const body = held(16).then((buffer) => {
    order.push('body')
    return buffer
  })
  flow.setTime(3)
  const late = flow.submit({ payload: new Uint8Array(16 * PAGE_BYTES) })
  release(blockers.pop()!)
  await turn()
  expect([order, inUse()]).toEqual([[], 32]) // what is free is for the task, when it is enough
  release(blockers.pop()!)
  await turn()
  expect([order, inUse()]).toEqual([[], 48]) // it is in, and the body is next
  flow.finish(WORKERS)
  flow.release()
  flow.client.tick()
  await turn()
  expect(order).toEqual(['body'])
  release(await body)
  flow.finish(WORKERS)
  flow.release()
  expect(flow.isCompleted(late)).toBe(true)
  release(blockers.pop()!)
  flow.setTime(0)
})

test('tasks and bodies that wait are let in by turns, all at once when there is memory for all', async () => {
  const blockers = [await held(16), await held(16), await held(16)]
  flow.setTime(1)
  flow.submit({ payload: new Uint8Array(16 * PAGE_BYTES) })
  flow.setTime(2)
  const bodies = [held(16)]
  flow.setTime(3)
  flow.submit({ payload: new Uint8Array(8 * PAGE_BYTES) })
  flow.setTime(4)
  bodies.push(held(8))
  for (const blocker of blockers) flow.client.uploads.watch(blocker).release()
  expect(inUse()).toBe(0)
  flow.client.tick()
  expect(inUse()).toBe(48)
  for (const body of bodies) release(await body)
  flow.finish(WORKERS)
  flow.release()
  flow.setTime(0)
})

test('a body that needs more goes before one that has nothing yet', async () => {
  const blockers = [await held(32), await held(2)]
  const growing = receive(chunksOf(16), { maxSize: 16 * PAGE_BYTES })
  while (flow.client.uploads.waitingSince === Infinity) await turn()
  expect(inUse()).toBe(42) // it has eight pages, and wants sixteen
  const other = held(4)
  await turn()
  expect(inUse()).toBe(42) // there are enough for the other
  for (const blocker of blockers) release(blocker)
  for (const body of [growing, other]) release(await body)
})

test('who waits no more lets those behind go on', async () => {
  const blocker = await held(40)
  const hangUp = new AbortController()
  const { signal } = hangUp
  flow.setTime(1)
  const gone = rejection(receive(Readable.from([]), { size: 20 * PAGE_BYTES }, { signal }))
  flow.setTime(2)
  const task = flow.submit({ payload: new Uint8Array(4 * PAGE_BYTES) })
  flow.setTime(3)
  const behind = held(4)
  await turn()
  expect(inUse()).toBe(40)
  hangUp.abort()
  await Promise.resolve()
  expect(inUse()).toBe(48)
  expect(await gone).toMatchObject({ code: 'AQ_CANCELLED' })
  release(await behind)
  flow.finish(WORKERS)
  flow.release()
  expect(flow.isCompleted(task)).toBe(true)
  release(blocker)
  flow.setTime(0)
})

test('bodies that grow are let in as long as one after another could come to its limit', async () => {
  const maxSize = 40 * PAGE_BYTES
  // Each of these could need 40 of 48 pages: three may have their first pages at once, and one of them more.
  const bodies = Array.from({ length: 6 }, () => receive(chunksOf(30), { maxSize }))
  let arrived = 0
  for (const body of bodies) {
    const buffer = await body
    arrived++
    expect(buffer.byteLength).toBe(30 * PAGE_BYTES)
    release(buffer)
  }
  expect(arrived).toBe(6)
})

test('a body that grows takes what it leaves as free: it may come to all there is', async () => {
  for (const [pages, maxPages] of [
    [3, 32],
    [20, 32],
    [32, 32],
    [40, 64],
    [48, 64],
  ] as const) {
    const buffer = await receive(chunksOf(pages), { maxSize: maxPages * PAGE_BYTES })
    expect(buffer.byteLength).toBe(pages * PAGE_BYTES)
    expect(inUse()).toBeLessThanOrEqual(Math.min(LIMIT, pages * 1.25))
    release(buffer)
  }
  const refused = rejection(receive(chunksOf(49), { maxSize: 64 * PAGE_BYTES }))
  expect(await refused).toMatchObject({
    code: 'AQ_PAYLOAD_TOO_LARGE',
    maxBytes: LIMIT * PAGE_BYTES,
  })
})

test('as many bodies may be on their way as tasks may be pending', async () => {
  const hangUp = new AbortController()
  const { signal } = hangUp
  const arriving = Array.from({ length: 100 }, () =>
    rejection(receive(new Readable({ read: () => undefined }), { maxSize: 1 }, { signal })),
  )
  const refused = rejection(receive(new Readable({ read: () => undefined }), { maxSize: 1 }))
  expect(await refused).toMatchObject({ code: 'AQ_QUEUE_FULL', maxPending: 100 })
  hangUp.abort()
  for (const one of arriving) expect(await one).toMatchObject({ code: 'AQ_CANCELLED' })
})

test('bodies, their tasks and tasks with payloads of their own: all get through, whatever the order', async () => {
  const pages = fc.integer({ min: 1, max: 30 })
  const visitor = fc.record({
    isBody: fc.boolean(),
    pages,
    room: fc.option(fc.nat(20)),
    extra: fc.boolean(),
    arrivesAfter: fc.nat(10),
    releasesAfter: fc.nat(10),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(visitor, { minLength: 1, maxLength: 12 }), async (visitors) => {
      const there = new Set(visitors)
      const visits = visitors.map(async (visit) => {
        const { isBody, pages: own, room } = visit
        for (let turns = 0; turns < visit.arrivesAfter; turns++) await turn()
        const task: Record<string, unknown> = {}
        const size =
          room === null ? { size: own * PAGE_BYTES } : { maxSize: (own + room) * PAGE_BYTES }
        if (isBody) task['body'] = await receive(chunksOf(own), size, {}, task)
        else task['payload'] = new Uint8Array(own * PAGE_BYTES)
        if (isBody && visit.extra) task['extra'] = new Uint8Array(2 * PAGE_BYTES)
        const body = task['body'] as ArrayBuffer | undefined
        flow.submit(task)
        while (!flow.isCompleted(task)) await turn()
        for (let turns = 0; turns < visit.releasesAfter; turns++) await turn()
        const { results, buffers } = flow.outcomes.get(task)!.finished!
        results.release(buffers)
        if (body !== undefined) release(body)
        there.delete(visit)
      })
      for (let turns = 0; there.size > 0 && turns < 2_000; turns++) {
        flow.finish(WORKERS)
        await turn()
      }
      expect(there.size).toBe(0)
      await Promise.all(visits)
      expect(flow.control.blocks.blocksInUse()).toBe(0)
    }),
    { numRuns: 40 },
  )
})
