import { type Socket, connect } from 'node:net'
import { addressRule } from '../flow-options.ts'
import { InvalidOptionError } from '../errors.ts'
import { type Rules, checkOptions, integer } from '../options.ts'
import { LAYOUT_VERSION } from '../transport/control.ts'
import {
  type FlowMessage,
  peerOf,
  readFrames,
  sendFrame,
  socketPath,
} from '../transport/handshake.ts'
import { findFlows } from './find-flows.ts'
import type { FlowSample } from './sample.ts'
import type { FlowView, FlowWatcher, Watchable } from './view.ts'

/** Which flow to observe: one of the two. */
export interface FlowObserverOptions {
  /** The `address` of the flow. */
  readonly address?: string
  /** The process that runs the flow, which must have an `address`. */
  readonly pid?: number
}

const rules: Rules = { address: addressRule, pid: integer(1) }

const PAUSE_MS = 1_000
/** Between two samples there is one second. */
const SILENCE_MS = 5_000

/**
 * Watches a flow that runs in another process of the same user. It is no client of the flow: it takes no place, opens none
 * of its memory, and is told what there is to see once a second, for as long as somebody watches. When the flow ends, it
 * waits for the next one at the address.
 *
 * @example
 * ```ts
 * import { Flow, FlowObserver } from 'aqueduct-ts'
 * import { SumHandler } from './sum.ts'
 *
 * // One process runs the flow …
 * await using flow = new Flow([SumHandler], { address: 'observed-sums' })
 * await flow.start()
 *
 * // … and another one (here the same) looks on.
 * const observer = new FlowObserver({ address: 'observed-sums' })
 * await new Promise<void>((seen) => {
 *   const stop = observer.watch({
 *     onHistory: () => {},
 *     onSample: (_, { stats }) => {
 *       console.log(stats.workers.length) // 1
 *       stop()
 *       seen()
 *     },
 *   })
 * })
 * ```
 */
export class FlowObserver implements Watchable {
  readonly #options: FlowObserverOptions

  /** @throws InvalidOptionError */
  constructor(options: FlowObserverOptions) {
    checkOptions('the observer', options, rules)
    if ((options.address === undefined) === (options.pid === undefined)) {
      throw new InvalidOptionError('address', 'the observer: give it either { address } or { pid }')
    }
    this.#options = options
  }

  /** Each watcher has a connection of its own. */
  watch(watcher: FlowWatcher): () => void {
    const observation = new Observation(() => this.#findAddress(), watcher)
    observation.begin()
    return () => observation.end()
  }

  #findAddress(): string {
    const { address, pid } = this.#options
    if (address !== undefined) return address
    const [found] = findFlows(pid)
    if (found !== undefined) return found.address
    throw new Error(`process ${pid} runs no flow with an address of this user`)
  }
}

/** One watcher, and its connection to the flow. */
class Observation {
  readonly #findAddress: () => string
  readonly #watcher: FlowWatcher
  #socket: Socket | undefined
  #retry: NodeJS.Timeout | undefined
  #history: FlowSample[] = []
  #isOver = false
  #why = ''

  constructor(findAddress: () => string, watcher: FlowWatcher) {
    this.#findAddress = findAddress
    this.#watcher = watcher
  }

  begin(): void {
    this.#history = []
    this.#why = 'it has ended'
    let address: string
    try {
      address = this.#findAddress()
    } catch (error) {
      // Not before `watch()` has returned the function that ends it.
      queueMicrotask(() => this.#lose((error as Error).message))
      return
    }
    const socket = (this.#socket = connect(socketPath(address)))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#why = error.code === 'ECONNREFUSED' ? `no flow listens at '${address}'` : error.message
    })
    socket.setTimeout(SILENCE_MS, () => {
      this.#why = 'its process does not answer'
      socket.destroy()
    })
    socket.once('close', () => this.#lose(this.#why))
    socket.once('connect', () => {
      // The name of an abstract socket has no permissions: somebody else may have taken it, and is not listened to.
      if (peerOf(socket)?.uid !== process.getuid?.()) {
        this.#why = 'who listens there is another user'
        socket.destroy()
        return
      }
      readFrames(socket, (message) => this.#onMessage(message as FlowMessage))
      sendFrame(socket, { type: 'observe', layout: LAYOUT_VERSION })
    })
  }

  end(): void {
    this.#isOver = true
    clearTimeout(this.#retry)
    this.#socket?.destroy()
  }

  #onMessage(message: FlowMessage): void {
    if (this.#isOver) return
    if (message.type === 'refused') this.#why = message.reason
    if (message.type === 'history') {
      this.#history.push(...(message.samples as FlowSample[]))
      if (message.isLast) this.#watcher.onHistory(this.#history)
    }
    if (message.type === 'sample')
      this.#watcher.onSample(message.sample as FlowSample, message.view as FlowView)
  }

  #lose(why: string): void {
    if (this.#isOver) return
    this.#watcher.onLost?.(why)
    this.#retry = setTimeout(() => this.begin(), PAUSE_MS)
  }
}
