// OpenTelemetry, through its API alone: which SDK there is, and where it sends what, is the program's to say.
import { type Meter, type Tracer, metrics, trace } from '@opentelemetry/api'
import { checkOptions, object, text } from '../options.ts'
import type { MeasuredFlow } from './measures/monitored-flow.ts'
import { traceBatches } from './opentelemetry/batch-spans.ts'
import { showFlow } from './opentelemetry/instruments.ts'
import { traceTasks } from './opentelemetry/task-spans.ts'

export { contextOf } from './opentelemetry/task-context.ts'
export type { MeasuredFlow }

/** Options of {@link traceFlows}. */
export interface TraceOptions {
  /** What makes the spans. Default: the tracer `aqueduct-ts` of the registered provider. */
  readonly tracer?: Tracer
}

/** Options of {@link observeFlow}. */
export interface ObserveOptions {
  /** What the instruments belong to. Default: the meter `aqueduct-ts` of the registered provider. */
  readonly meter?: Meter
  /** The attribute `aqueduct.flow` of all values. Default `'flow'`. */
  readonly name?: string
}

const NAME = 'aqueduct-ts'

/**
 * Traces all flows of this process, and all clients of flows.
 *
 * - Each `process()` is a span, a child of the one that is active: that of the request, say. Below it is a span for each
 *   step that has handled the task, with the time in the queue, in the forming batch and in the handler.
 * - In a worker each batch with such a task is a span, linked to all of its tasks and they to it, and active while the
 *   handler runs: what the handler does, or the libraries that it uses, lies below it.
 *
 * The context travels with the tasks as long as this is on. Workers make spans when they call this too, and have an SDK:
 * they load what the program was started with, as in `node --import ./tracing.js server.js`.
 *
 * The returned function ends it.
 *
 * @throws InvalidOptionError
 *
 * @example
 * ```ts
 * import { Flow } from 'aqueduct-ts'
 * import { traceFlows } from 'aqueduct-ts/opentelemetry'
 * import { SumHandler, SumTask } from './sum.ts'
 *
 * traceFlows() // where the SDK is set up
 *
 * await using flow = new Flow([SumHandler])
 * await flow.start()
 * await flow.process(new SumTask(1))
 * ```
 */
export function traceFlows(options: TraceOptions = {}): () => void {
  checkOptions('traceFlows()', options, { tracer: object })
  const tracer = options.tracer ?? trace.getTracer(NAME)
  const leave = [traceTasks(tracer), traceBatches(tracer)]
  return () => {
    for (const end of leave) end()
  }
}

/**
 * Has the registered provider of meters show a flow: counters and gauges that are read when they are exported. The returned
 * function ends it.
 *
 * @throws InvalidOptionError
 *
 * @example
 * ```ts
 * import { Flow } from 'aqueduct-ts'
 * import { observeFlow } from 'aqueduct-ts/opentelemetry'
 * import { SumHandler } from './sum.ts'
 *
 * const flow = new Flow([SumHandler])
 * observeFlow(flow, { name: 'sum' })
 * ```
 */
export function observeFlow(flow: MeasuredFlow, options: ObserveOptions = {}): () => void {
  checkOptions('observeFlow()', options, { meter: object, name: text })
  return showFlow(flow, options.name ?? 'flow', options.meter ?? metrics.getMeter(NAME))
}
