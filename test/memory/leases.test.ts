import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { canSeal } from '../../src/memory/sealed-buffer.ts'
import { LeasedBlock, readsWhat } from '../support/leases.ts'

/** Every way we know to see the bytes of a buffer through another object that shares them. */
const aliases: Record<string, (buffer: ArrayBuffer) => () => Uint8Array> = {
  'the buffer itself': (buffer) => () => new Uint8Array(buffer),
  'a typed array': (buffer) => {
    const view = new Float32Array(buffer)
    return () => new Uint8Array(view.buffer, 0, view.byteLength)
  },
  'a subarray of a subarray': (buffer) => {
    const view = new Uint8Array(buffer).subarray(10).subarray(10)
    return () => view
  },
  'Buffer.from(buffer)': (buffer) => {
    const view = Buffer.from(buffer, 100, 1000)
    return () => view
  },
  'a slice of a Buffer': (buffer) => {
    const view = Buffer.from(buffer).subarray(5, 50)
    return () => view
  },
  'a DataView': (buffer) => {
    const view = new DataView(buffer)
    return () => Uint8Array.of(view.getUint8(0))
  },
  'an iterator that was begun': (buffer) => {
    const iterator = new Uint8Array(buffer).values()
    iterator.next()
    return () => Uint8Array.from(iterator)
  },
}

/** What is read, where an engine may say "nothing" by a TypeError. */
function attempt(read: () => Uint8Array): Uint8Array {
  try {
    return read()
  } catch (error) {
    if (error instanceof TypeError) return new Uint8Array()
    throw error
  }
}

test('a lease shows what lies in its block', () => {
  const { buffer, length } = new LeasedBlock()
  expect(buffer.byteLength).toBe(length)
  expect(readsWhat(new Uint8Array(buffer))).toBe('his own')
})

test.each(Object.keys(aliases))('after the end of a lease %s reads nothing', (kind) => {
  const leased = new LeasedBlock()
  const read = aliases[kind]!(leased.buffer)
  expect(readsWhat(read())).toBe('his own')
  leased.passOn()
  expect(leased.buffer.byteLength).toBe(0)
  expect(leased.buffer.detached).toBe(true)
  expect(attempt(read)).toHaveLength(0)
})

test('a lease that has ended is none: it ends once, and lies nowhere', () => {
  const { leases, buffer, block } = new LeasedBlock()
  expect(leases.rangeOf(buffer)).toMatchObject({ block, offset: 0, slot: -1 })
  leases.close(buffer)
  leases.close(buffer)
  expect(leases.rangeOf(buffer)).toBeUndefined()
})

test('a lease lies within its block', () => {
  const { leases, block } = new LeasedBlock()
  for (const [offset, length] of [
    [-1, 10],
    [8190, 3],
    [0, 8193],
  ] as const)
    expect(() => leases.open(block, offset, length)).toThrow(RangeError)
  expect(() => leases.open(-1, 0, 1)).toThrow(RangeError)
  expect(() => leases.open(1_000_000, 0, 1)).toThrow(RangeError)
})

const nothing = new Uint8Array()
const readNothing = (): Uint8Array => nothing
const bytesOf = (value: ArrayBuffer | ArrayBufferView): Uint8Array =>
  ArrayBuffer.isView(value)
    ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    : new Uint8Array(value)

/** Every way we know to move the memory of a buffer away, or to have it read by somebody else, later. */
const takers: Record<
  string,
  (buffer: ArrayBuffer) => Promise<() => Uint8Array | Promise<Uint8Array>>
> = {
  'transfer()': async (buffer) => {
    const moved = buffer.transfer()
    return () => bytesOf(moved)
  },
  'transfer() to another length': async (buffer) => {
    const moved = buffer.transfer(100)
    return () => bytesOf(moved)
  },
  'transferToFixedLength()': async (buffer) => {
    const moved = buffer.transferToFixedLength()
    return () => bytesOf(moved)
  },
  'structuredClone with a transfer': async (buffer) => {
    const moved = structuredClone(buffer, { transfer: [buffer] })
    return () => bytesOf(moved)
  },
  'structuredClone of a view, with a transfer': async (buffer) => {
    const moved = structuredClone({ view: new Uint8Array(buffer, 10) }, { transfer: [buffer] })
    return () => moved.view
  },
  structuredClone: async (buffer) => {
    const copy = structuredClone(new Uint8Array(buffer))
    return () => copy
  },
  'postMessage with a transfer': async (buffer) => {
    const { port1, port2 } = new MessageChannel()
    try {
      port1.postMessage(buffer, [buffer])
      const { message: moved } = receiveMessageOnPort(port2) as { message: ArrayBuffer }
      return () => bytesOf(moved)
    } finally {
      port1.close()
      port2.close()
    }
  },
  'a BYOB read into it': async (buffer) => {
    const stream = new ReadableStream({
      type: 'bytes',
      pull(controller) {
        controller.enqueue(Uint8Array.of(1, 1))
        controller.close()
      },
    })
    const { value } = await stream.getReader({ mode: 'byob' }).read(new Uint8Array(buffer))
    return () => value ?? nothing
  },
  'enqueue() of a byte stream': async (buffer) => {
    const stream = new ReadableStream({
      type: 'bytes',
      start(controller) {
        controller.enqueue(new Uint8Array(buffer))
        controller.close()
      },
    })
    return () => new Response(stream).bytes()
  },
  'a Blob': async (buffer) => {
    const blob = new Blob([buffer, new Uint8Array(buffer)])
    return () => blob.bytes()
  },
  'a Response of the buffer': async (buffer) => {
    const response = new Response(buffer)
    return () => response.bytes()
  },
  'a Response of a view': async (buffer) => {
    const response = new Response(new Uint8Array(buffer))
    return () => response.bytes()
  },
  'Buffer.copyBytesFrom': async (buffer) => {
    const copy = Buffer.copyBytesFrom(new Uint8Array(buffer))
    return () => copy
  },
  'a digest that is still being made': async (buffer) => {
    const own = await crypto.subtle.digest('SHA-256', new Uint8Array(buffer.byteLength).fill(1))
    const digest = crypto.subtle.digest('SHA-256', buffer)
    return async () =>
      Buffer.from(await digest).equals(Buffer.from(own)) ? Uint8Array.of(1) : Uint8Array.of(2)
  },
}

describe.runIf(canSeal)('whoever tries to take a lease away', () => {
  test.each(Object.keys(takers))('by %s is refused, or gets a copy', async (kind) => {
    const leased = new LeasedBlock()
    let read: () => Uint8Array | Promise<Uint8Array> = readNothing
    let refusal: unknown
    await takers[kind]!(leased.buffer).then(
      (reader) => (read = reader),
      (error: unknown) => (refusal = error),
    )
    expect(refusal ?? new TypeError()).toBeOneOf([expect.any(TypeError), expect.any(DOMException)])
    expect(leased.buffer.byteLength).toBe(leased.length)
    leased.passOn()
    const seen = await Promise.resolve()
      .then(read)
      .catch(() => nothing)
    expect(readsWhat(seen)).not.toBe('not his own')
    expect(leased.blocks.blocksInUse()).toBeGreaterThan(30)
  })

  test('many leases, opened and ended in any order, are each sealed', () => {
    const { leases, block } = new LeasedBlock()
    const open: ArrayBuffer[] = []
    for (let count = 0; count < 20_000; count++) {
      open.push(leases.open(block, 0, 64))
      if (count % 3 === 0) leases.close(open.splice(count % open.length, 1)[0]!)
    }
    for (const buffer of open) {
      expect(() => buffer.transfer()).toThrow(TypeError)
      leases.close(buffer)
      expect(buffer.detached).toBe(true)
    }
  })
})
