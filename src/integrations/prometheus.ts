// Prometheus, through prom-client.
import { type Registry, register } from 'prom-client'
import { checkOptions, object, text } from '../options.ts'
import { expositionOf } from './prometheus/exposition.ts'
import type { MeasuredFlow } from './measures/monitored-flow.ts'

export type { MeasuredFlow }

/** Options of {@link registerFlow}. */
export interface PrometheusOptions {
  /** Where the metrics are registered. Default: the registry of prom-client, `register`. */
  readonly registry?: Registry
  /** The label `flow` of all values. Each flow of a registry has its own. Default `'flow'`. */
  readonly name?: string
}

const rules = { registry: object, name: text }

/**
 * Has a registry of prom-client show a flow: counters, gauges and histograms, with the label `flow`. They are read from
 * shared memory when the registry is asked for them, and cost a task nothing. Counters and histograms go on where they
 * were when the flow is started anew. The returned function takes the flow off the registry again.
 *
 * Register a flow in the process that starts it: what its clients in other processes do is in its figures.
 *
 * @throws InvalidOptionError
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http'
 * import { Flow } from 'aqueduct-ts'
 * import { registerFlow } from 'aqueduct-ts/prometheus'
 * import { register } from 'prom-client'
 * import { SumHandler } from './sum.ts'
 *
 * const flow = new Flow([SumHandler])
 * registerFlow(flow, { name: 'sum' })
 * await flow.start()
 *
 * const server = createServer(async (_request, response) => {
 *   response.setHeader('content-type', register.contentType).end(await register.metrics())
 * })
 * server.listen(0)
 *
 * server.close()
 * await flow.stop()
 * ```
 */
export function registerFlow(flow: MeasuredFlow, options: PrometheusOptions = {}): () => void {
  checkOptions('registerFlow()', options, rules)
  return expositionOf(options.registry ?? register).add(flow, options.name ?? 'flow')
}
