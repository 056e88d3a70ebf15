import { Flow, type FlowOptions, FlowStep } from 'aqueduct-ts'
import { SumHandler, SumTask } from '../handlers/sum.ts'
import type { Target } from './target.ts'

/** What of a step's options differs from the defaults. */
export interface SumStep {
  readonly isolation?: 'process' | 'thread'
  readonly queueSize?: number
  readonly batchSize?: number
}

/** A flow of one step with one worker. Its tasks have the default deadline of 5 s. */
export async function aqueduct(
  name: string,
  options: SumStep,
  flowOptions: Pick<FlowOptions, 'metrics'> = {},
): Promise<Target> {
  const step = new FlowStep(SumHandler, { nprocs: 1, ...options })
  const { nprocs, isolation, queueSize, batchSize } = step.options
  const flow = new Flow([step], flowOptions)
  await flow.start()
  return {
    name: `aqueduct/${name}`,
    parameters: {
      workers: nprocs,
      isolation,
      queueSize,
      batchSize,
      timeoutMs: 5000,
      ...flowOptions,
    },
    call: (number) => flow.process(new SumTask(number)),
    close: () => flow.stop(),
  }
}
