import type { ServerResponse } from 'node:http'
import type { FlowSample, FlowView, FlowWatcher } from '../index.ts'
import { judge } from './verdict.ts'

/** Bytes that may wait for a browser that does not keep up. */
const MOST_UNSENT = 1 << 20
/** Samples that the verdict looks back on. */
const RECENT = 15

/**
 * Tells a browser what there is to see of a flow, as server-sent events: `history` once, `sample` each second, `lists`
 * when they have changed, `lost` when the flow cannot be seen.
 */
export class EventStream implements FlowWatcher {
  readonly #response: ServerResponse
  #recent: FlowSample[] = []
  #lists = ''

  constructor(response: ServerResponse) {
    this.#response = response
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no', // nginx would keep it back
      'x-content-type-options': 'nosniff',
    })
    response.write('retry: 1000\n\n')
  }

  onHistory(samples: readonly FlowSample[]): void {
    this.#recent = samples.slice(-RECENT)
    this.#lists = ''
    this.#send('history', JSON.stringify(samples))
  }

  onSample(sample: FlowSample, view: FlowView): void {
    this.#recent = [...this.#recent.slice(1 - RECENT), sample]
    if (this.#response.writableLength > MOST_UNSENT) return
    const { slowTasks, problems, events, ...rest } = view
    const verdict = judge(this.#recent, view)
    // First, since the page draws when it has the sample.
    const lists = JSON.stringify({ slowTasks, problems, events })
    if (lists !== this.#lists) this.#send('lists', lists)
    this.#lists = lists
    this.#send('sample', JSON.stringify({ sample, view: rest, verdict }))
  }

  onLost(why: string): void {
    this.#send('lost', JSON.stringify({ why }))
  }

  /** JSON has no line breaks: one line of data. */
  #send(event: string, json: string): void {
    this.#response.write(`event: ${event}\ndata: ${json}\n\n`)
  }
}
