import { Flow, type FlowOptions, FlowStep } from 'aqueduct-ts'
import { SumHandler, SumTask } from '../handlers/sum.ts'
import type { Side, SidePlan } from './side.ts'

/** What of the options differs from the defaults. */
interface Options {
  readonly isolation?: 'process' | 'thread'
  readonly queueSize?: number
  readonly batchSize?: number
  /** Milliseconds that a task may take; 5 s by default. */
  readonly timeout?: number
  readonly flow?: Pick<FlowOptions, 'metrics' | 'maxPending' | 'spin'>
}

/** A flow, all its tasks with a deadline. */
export async function open({ workers, steps, options }: SidePlan): Promise<Side> {
  const { flow: flowOptions = {}, timeout = 5_000, ...stepOptions } = options as Options
  const flow = new Flow(
    Array.from(
      { length: steps },
      (_, index) =>
        new FlowStep(SumHandler, { name: `step${index}`, nprocs: workers, ...stepOptions }),
    ),
    flowOptions,
  )
  await flow.start()
  const isProcess = stepOptions.isolation !== 'thread'
  return {
    workers: isProcess ? flow.stats().workers.map(({ pid }) => pid) : [],
    call: (number) => flow.process(new SumTask(number), { timeout }),
    close: () => flow.stop(),
  }
}
