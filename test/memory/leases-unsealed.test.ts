import { expect, test, vi } from 'vitest'
import { LeasedBlock, readsWhat } from '../support/leases.ts'

// An engine that cannot seal a buffer (Node 22), or a thread.
vi.mock(import('../../src/memory/sealed-buffer.ts'), () => ({
  canSeal: false,
  seal: () => undefined,
  unseal: () => undefined,
  forgetSeal: () => undefined,
}))

test('the end of a lease empties it and every view of it', () => {
  const leased = new LeasedBlock()
  const view = new Uint8Array(leased.buffer).subarray(4)
  expect(readsWhat(view)).toBe('his own')
  leased.passOn()
  expect([leased.buffer.byteLength, view.byteLength]).toStrictEqual([0, 0])
})

test.each<[string, (buffer: ArrayBuffer) => ArrayBuffer]>([
  ['transfer()', (buffer) => buffer.transfer()],
  ['transferToFixedLength()', (buffer) => buffer.transferToFixedLength()],
])('what was moved away by %s is never used by anybody else', (_, move) => {
  const leased = new LeasedBlock()
  const moved = move(leased.buffer)
  leased.passOn()
  expect(readsWhat(new Uint8Array(moved))).toBe('his own')
})

test('the block of a lease that was moved away stays out of use, and is counted as in use', () => {
  const leased = new LeasedBlock()
  leased.buffer.transfer()
  leased.leases.close(leased.buffer)
  leased.blocks.release(leased.block)
  expect(leased.blocks.blocksInUse()).toBe(1)
  expect(leased.blocks.pagesInUse()).toBe(leased.blocks.geometry.classOf(leased.block).pages)
})
