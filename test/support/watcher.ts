import { EventEmitter, once } from 'node:events'
import type { FlowSample, FlowView, FlowWatcher, Watchable } from '../../src/index.ts'

interface Seen {
  readonly sample: FlowSample
  readonly view: FlowView
}

/** Watches a flow, and remembers all that it is shown. */
export class Watcher implements FlowWatcher, Disposable {
  readonly histories: (readonly FlowSample[])[] = []
  readonly seen: Seen[] = []
  readonly losses: string[] = []
  readonly #news = new EventEmitter<{ news: [] }>()
  readonly #stop: () => void

  constructor(flow: Watchable) {
    this.#stop = flow.watch(this)
  }

  onHistory(samples: readonly FlowSample[]): void {
    this.histories.push([...samples])
    this.#news.emit('news')
  }

  onSample(sample: FlowSample, view: FlowView): void {
    this.seen.push({ sample, view })
    this.#news.emit('news')
  }

  onLost(why: string): void {
    this.losses.push(why)
    this.#news.emit('news')
  }

  get last(): Seen {
    return this.seen.at(-1)!
  }

  /** Resolves once `look` finds something, which it does after each piece of news. */
  async until<T>(look: (watcher: Watcher) => T | undefined | false): Promise<T> {
    for (;;) {
      const found = look(this)
      if (found !== undefined && found !== false) return found
      await once(this.#news, 'news')
    }
  }

  [Symbol.dispose](): void {
    this.#stop()
  }
}
