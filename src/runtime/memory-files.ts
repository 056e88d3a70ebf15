import { libc } from '../memory/libc.ts'
import { Mapping } from '../memory/mapping.ts'
import { type BellEnds, createBell } from '../transport/bells.ts'
import { Control, type FlowShape, actorCount, mappingSizes } from '../transport/control.ts'

/** The memory and the bells of a flow, as the parent owns them. */
export class FlowMemory {
  readonly shape: FlowShape
  readonly control: Mapping
  readonly payloads: Mapping
  readonly bells: readonly BellEnds[]

  constructor(shape: FlowShape) {
    this.shape = shape
    const { controlBytes, payloadBytes } = mappingSizes(shape)
    this.control = Mapping.create('aqueduct-control', controlBytes)
    this.payloads = Mapping.create('aqueduct-payloads', payloadBytes)
    this.bells = Array.from({ length: actorCount(shape) }, () => createBell())
  }

  /** The view of the client that lives in the parent. */
  createControl(actor: number): Control {
    const { control, payloads } = this
    return Control.create(
      this.shape,
      { control, payloads, bells: this.bells.map(({ write }) => write) },
      actor,
    )
  }

  /** Closes the bells and unmaps the control words, which nobody may touch any more. */
  close(): void {
    for (const { read, write } of this.bells) {
      libc().close(read)
      libc().close(write)
    }
    this.control.destroy()
  }

  /** Unmaps the payloads, once no result is left in them. */
  closePayloads(): void {
    this.payloads.destroy()
  }
}
