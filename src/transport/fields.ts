import type { FieldDecoder, FieldEncoder, PayloadOpener, PayloadPlacer } from './codec.ts'
import type { Control } from './control.ts'

/** Places payloads, and gives a block to fields that are too long for their slot. */
export interface FieldPlacer extends PayloadPlacer {
  allocate(length: number): number
}

/** Writes the fields of a generation that does not count yet: into the slot, or into a block where they do not fit. */
export function writeFields(
  { tasks, leases }: Control,
  encoder: FieldEncoder,
  slot: number,
  generation: number,
  fields: object,
  placer: FieldPlacer,
): void {
  const start = tasks.fieldsStart(slot, generation)
  const end = start + tasks.geometry.inlineBytes
  const length = encoder.encode(fields, tasks.bytes, start, end, placer)
  if (length >= 0) {
    tasks.setFields(slot, generation, length, -1)
    return
  }
  const { overflow } = encoder
  const block = placer.allocate(overflow.byteLength)
  leases.withBytes(block, 0, overflow.byteLength, (bytes) => bytes.set(overflow))
  tasks.setFields(slot, generation, overflow.byteLength, block)
}

/** Reads the fields of a generation into `target`; `prune` deletes what the target has and they have not. */
export function readFields(
  { tasks, leases }: Control,
  decoder: FieldDecoder,
  slot: number,
  generation: number,
  target: object,
  opener: PayloadOpener,
  prune: boolean,
): void {
  const length = tasks.fieldsLength(slot, generation)
  const block = tasks.fieldsBlock(slot, generation)
  if (block < 0) {
    const start = tasks.fieldsStart(slot, generation)
    decoder.decodeInto(target, tasks.bytes, start, length, opener, prune)
    return
  }
  leases.withBytes(block, 0, length, (bytes) => {
    decoder.decodeInto(target, bytes, 0, length, opener, prune)
  })
}
