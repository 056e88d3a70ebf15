import { Piscina } from 'piscina'
import type { Side, SidePlan } from './side.ts'

/** Which of piscina's modes. */
interface Options {
  readonly atomics: 'sync' | 'async' | 'disabled'
  readonly concurrentTasksPerWorker: number
}

/** A pool at its fastest: no limit to its queue, no timings recorded. */
export function open({ workers, options }: SidePlan): Side {
  const pool = new Piscina<{ readonly number: number }, { readonly sum: number }>({
    filename: new URL('../handlers/sum-function.ts', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    maxQueue: Infinity,
    recordTiming: false,
    ...(options as unknown as Options),
  })
  return { call: (number) => pool.run({ number }), close: () => pool.destroy() }
}
