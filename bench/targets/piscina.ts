import { Piscina } from 'piscina'
import type { Target } from './target.ts'

export type Atomics = 'sync' | 'async' | 'disabled'

/** A pool of one thread, at its fastest: no limit to its queue, no timings recorded. */
export function piscina(atomics: Atomics, concurrentTasksPerWorker: number): Target {
  const options = {
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker,
    atomics,
    maxQueue: Infinity,
    recordTiming: false,
  } as const
  const pool = new Piscina<{ readonly number: number }, { readonly sum: number }>({
    ...options,
    filename: new URL('../handlers/sum-piscina.ts', import.meta.url).href,
  })
  return {
    name: `piscina/${atomics}-${concurrentTasksPerWorker}`,
    parameters: { workers: 1, isolation: 'thread', atomics, concurrentTasksPerWorker },
    call: (number) => pool.run({ number }),
    close: () => pool.destroy(),
  }
}
