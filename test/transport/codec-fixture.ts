import assert from 'node:assert/strict'
import {
  FieldDecoder,
  FieldEncoder,
  type PayloadOpener,
  type PayloadPlacer,
} from '../../src/transport/codec.ts'

/** An arena of one block: what is placed lies in `memory`, one value after another. */
export class Block implements PayloadPlacer, PayloadOpener {
  readonly memory = new ArrayBuffer(1024 * 1024)
  readonly placed: (ArrayBuffer | ArrayBufferView)[] = []
  opened = 0
  #end = 0

  place(value: ArrayBuffer | ArrayBufferView) {
    this.placed.push(value)
    const bytes = ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value)
    const offset = this.#end
    new Uint8Array(this.memory).set(bytes, offset)
    this.#end = Math.ceil((offset + bytes.length) / 64) * 64
    return { block: 7, offset, length: bytes.length }
  }

  open(block: number, offset: number, length: number) {
    assert.equal(block, 7)
    assert.ok(offset + length <= this.#end)
    this.opened++
    return { buffer: this.memory, byteOffset: offset }
  }
}

export const inline: PayloadPlacer & PayloadOpener = {
  place: () => undefined,
  open: () => {
    throw new Error('nothing was placed')
  },
}

/** Encodes to a small region of a larger one, and decodes where the encoding ended up. */
export function roundTrip(task: object, payloads = inline, target: object = {}): object {
  const encoder = new FieldEncoder({ payloadThreshold: 64 })
  const bytes = new Uint8Array(1024).fill(0xee)
  const written = encoder.encode(task, bytes, 64, 320, payloads)
  assert.ok(bytes.subarray(0, 64).every((byte) => byte === 0xee))
  assert.ok(bytes.subarray(320).every((byte) => byte === 0xee))
  const decoder = new FieldDecoder()
  if (written < 0) {
    const copy = encoder.overflow.slice()
    decoder.decodeInto(target, copy, 0, copy.length, payloads)
  } else decoder.decodeInto(target, bytes, 64, written, payloads)
  return target
}
