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

  /** Throws, and leaves nothing open, where the system gives no more memory or files. */
  constructor(shape: FlowShape) {
    this.shape = shape
    const { controlBytes, payloadBytes } = mappingSizes(shape)
    const bells: BellEnds[] = []
    let control: Mapping | undefined
    let payloads: Mapping | undefined
    try {
      control = Mapping.create('aqueduct-control', controlBytes)
      payloads = Mapping.create('aqueduct-payloads', payloadBytes)
      while (bells.length < actorCount(shape)) bells.push(createBell())
    } catch (error) {
      for (const mapping of [control, payloads]) mapping?.destroy()
      closeAll(bells)
      throw error
    }
    this.control = control
    this.payloads = payloads
    this.bells = bells
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

  /** The read end of an actor's bell once more, for who listens there. All is closed when there cannot be one. */
  openBell(actor: number): number {
    const bell = libc().dup(this.bells[actor]!.read)
    if (bell >= 0) return bell
    this.close()
    this.closePayloads()
    throw new Error('cannot open a pipe: too many open files (ulimit -n)?')
  }

  /** Closes the bells and unmaps the control words, which nobody may touch any more. */
  close(): void {
    closeAll(this.bells)
    this.control.destroy()
  }

  /** Unmaps the payloads, once no result is left in them. */
  closePayloads(): void {
    this.payloads.destroy()
  }
}

function closeAll(bells: readonly BellEnds[]): void {
  for (const { read, write } of bells) {
    libc().close(read)
    libc().close(write)
  }
}
