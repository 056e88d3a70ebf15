import { type BaseTask, Flow } from '../index.ts'
import { builtInService } from './built-in.ts'
import { type ChaosOptions, resolveChaos } from './chaos-options.ts'
import type { ChaosReport } from './report.ts'
import { Run } from './run.ts'
import type { ChaosService } from './service.ts'

/**
 * Puts a service through a storm: measures it in peace, kills its workers and hands it tasks that do harm for a while,
 * waits until it is at rest, and measures it again. Looks all the time at what must always hold; the report tells, and
 * {@link brokenInvariants} says what of it is not as it should be.
 *
 * @param service - the library's own by default.
 * @throws InvalidOptionError; what the flow's start throws; the reason of an aborted `signal`.
 *
 * @example
 * ```ts
 * import { brokenInvariants, runChaos } from 'aqueduct-ts/chaos'
 *
 * const report = await runChaos({ seconds: 2, kills: 3, seed: 1 })
 * console.log(report.lost, brokenInvariants(report, { speed: false })) // 0 []
 * ```
 */
export async function runChaos<Task extends BaseTask>(
  options: ChaosOptions = {},
  service?: ChaosService<Task>,
): Promise<ChaosReport> {
  const settings = resolveChaos(options)
  // Whatever its tasks are: they go from its `makeTask` to its flow and its `verify`, and nowhere else.
  const subject = (service ?? builtInService()) as unknown as ChaosService
  const { flow: made } = subject
  const flow = made instanceof Flow ? made : made()
  const spared = made instanceof Flow ? undefined : made()
  const startedAt = performance.now()
  try {
    await Promise.all([flow.start(), spared?.start()])
    using run = new Run(subject, flow, spared, settings, startedAt)
    return await run.report()
  } finally {
    await Promise.all([flow.stop({ graceful: false }), spared?.stop({ graceful: false })])
  }
}
