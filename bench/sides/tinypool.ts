import { loadPeer } from '../harness/peers.ts'
import type { Side, SidePlan } from './side.ts'

interface Tinypool {
  run(task: { readonly number: number }): Promise<{ readonly sum: number }>
  destroy(): Promise<void>
}

/** A pool of threads; the options say how tinypool wakes them and how many tasks each may hold. */
export function open({ workers, options }: SidePlan): Side {
  const { Tinypool } = loadPeer('tinypool') as { Tinypool: new (options: object) => Tinypool }
  const pool = new Tinypool({
    filename: new URL('../handlers/sum-function.ts', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    maxQueue: Infinity,
    ...options,
  })
  return { call: (number) => pool.run({ number }), close: () => pool.destroy() }
}
