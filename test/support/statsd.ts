import { type Socket, createSocket } from 'node:dgram'
import { once } from 'node:events'
import { StatsD } from 'hot-shots'
import type { Timers } from '../../src/integrations/statsd.ts'

/** What a StatsD server was sent: the values of each metric, under its method and name as in the original's list. */
export type Received = ReadonlyMap<string, readonly number[]>

const methods: Readonly<Record<string, string>> = { ms: 'timing', c: 'count', g: 'gauge' }
const LAST = 'last'

/** A StatsD server on a port of its own, and hot-shots' client for it. */
export class StatsDServer implements AsyncDisposable {
  readonly client: StatsD
  readonly #socket: Socket
  readonly #lines: string[] = []

  private constructor(socket: Socket, prefix: string) {
    this.#socket = socket
    socket.on('message', (packet) => this.#lines.push(...packet.toString().trim().split('\n')))
    this.client = new StatsD({
      host: '127.0.0.1',
      port: socket.address().port,
      prefix,
      maxBufferSize: 1400, // fewer packets than the system holds for a reader that is busy
    })
  }

  /** @param prefix - the client's, before that of the exporter. */
  static async listen(prefix = ''): Promise<StatsDServer> {
    const socket = createSocket('udp4').bind(0, '127.0.0.1')
    await once(socket, 'listening')
    return new StatsDServer(socket, prefix)
  }

  /** Closes the client, and gives all that it has sent. */
  async received(): Promise<Received> {
    await new Promise<void>((resolve, reject) => {
      this.client.close((error) => {
        if (error === undefined || error === null) resolve()
        else reject(error)
      })
    })
    const sender = createSocket('udp4')
    sender.send(LAST, this.#socket.address().port, '127.0.0.1', () => sender.close())
    while (!this.#lines.includes(LAST)) await once(this.#socket, 'message')
    const values = new Map<string, number[]>()
    for (const line of this.#lines) {
      if (line === LAST) continue
      const [, name, value, type] = /^([^:|]+):([^|]+)\|(\w+)$/.exec(line)!
      const key = `${methods[type!]} ${name}`
      values.set(key, [...(values.get(key) ?? []), Number(value)])
    }
    return values
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close()
    await once(this.#socket, 'close')
  }
}

/** Periods end when a test says so. */
export class ManualTimers implements Timers {
  readonly #callbacks = new Map<() => void, number>()

  every(period: number, callback: () => void): () => void {
    this.#callbacks.set(callback, period)
    return () => this.#callbacks.delete(callback)
  }

  /** The periods of the timers that run. */
  get periods(): number[] {
    return [...this.#callbacks.values()].toSorted((a, b) => a - b)
  }

  /** Ends a period of all timers of this period. */
  end(period: number): void {
    for (const [callback, its] of this.#callbacks) if (its === period) callback()
  }
}
