import { fileURLToPath } from 'node:url'
import { loadPeer } from '../harness/peers.ts'
import type { Side, SidePlan } from './side.ts'

interface Pool {
  execute(task: { readonly number: number }): Promise<{ readonly sum: number }>
  destroy(): Promise<void>
}

/** A fixed pool of threads. */
export function open({ workers, options }: SidePlan): Side {
  const { FixedThreadPool } = loadPeer('poolifier') as {
    FixedThreadPool: new (workers: number, file: string, options: object) => Pool
  }
  const file = fileURLToPath(new URL('../handlers/sum-poolifier.ts', import.meta.url))
  const pool = new FixedThreadPool(workers, file, { enableEvents: false, ...options })
  return { call: (number) => pool.execute({ number }), close: () => pool.destroy() }
}
