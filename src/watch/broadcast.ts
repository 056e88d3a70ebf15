import type { Observer } from '../runtime/attachments.ts'
import type { FlowSample } from './sample.ts'
import type { FlowView, FlowWatcher } from './view.ts'

/** Old samples in one message: a message has a greatest length. */
const SAMPLES = 30

/** Tells an observer in another process what there is to see. */
export class Broadcast implements FlowWatcher {
  readonly #observer: Observer

  constructor(observer: Observer) {
    this.#observer = observer
  }

  onHistory(samples: readonly FlowSample[]): void {
    for (let first = 0; first === 0 || first < samples.length; first += SAMPLES) {
      const part = samples.slice(first, first + SAMPLES)
      const isLast = first + SAMPLES >= samples.length
      this.#observer.send({ type: 'history', samples: part, isLast })
    }
  }

  /** An observer that does not keep up misses samples. */
  onSample(sample: FlowSample, view: FlowView): void {
    this.#observer.send({ type: 'sample', sample, view })
  }
}
