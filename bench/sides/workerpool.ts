import { fileURLToPath } from 'node:url'
import { loadPeer } from '../harness/peers.ts'
import type { Side, SidePlan } from './side.ts'

interface Pool {
  exec(method: string, args: unknown[]): PromiseLike<{ readonly sum: number }>
  terminate(): PromiseLike<unknown>
}

/** A pool of threads or of processes. */
export function open({ workers, options }: SidePlan): Side {
  const { pool: makePool } = loadPeer('workerpool') as {
    pool: (file: string, options: object) => Pool
  }
  const file = fileURLToPath(new URL('../handlers/sum-workerpool.ts', import.meta.url))
  const pool = makePool(file, { minWorkers: workers, maxWorkers: workers, ...options })
  return {
    call: async (number) => pool.exec('sum', [{ number }]),
    close: async () => pool.terminate(),
  }
}
