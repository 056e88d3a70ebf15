import type { Registry } from 'prom-client'
import type { BaseTask, Flow } from '../index.ts'

/** What a registry shows of a flow has this among it. */
const ANY_METRIC = 'aqueduct_tasks_total'

const isMissing = (error: unknown): boolean =>
  (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND' &&
  (error as Error).message.includes("'prom-client'")

/**
 * The registry of prom-client, with the flow in it and whatever the program has registered there itself; undefined where
 * that package, which the library does not bring along, is not installed.
 */
export async function registryOf(flow: Flow<BaseTask>): Promise<Registry | undefined> {
  try {
    const { register } = await import('prom-client')
    const { registerFlow } = await import('../integrations/prometheus.ts')
    if (register.getSingleMetric(ANY_METRIC) === undefined) registerFlow(flow)
    return register
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
