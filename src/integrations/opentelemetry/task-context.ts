import {
  type Context,
  ROOT_CONTEXT,
  type SpanContext,
  TraceFlags,
  isSpanContextValid,
  trace,
  propagation,
} from '@opentelemetry/api'
import type { BaseTask } from '../../index.ts'

/**
 * In a handler: the trace that a task is part of, as the program that called `process()` had it. Spans that are made in
 * it are children of the task's own.
 *
 * @example
 * ```ts
 * import { trace } from '@opentelemetry/api'
 * import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'
 * import { contextOf } from 'aqueduct-ts/opentelemetry'
 *
 * export class ImageTask extends BaseTask {
 *   faces = 0
 * }
 *
 * export class Detect extends BaseTaskHandler<ImageTask> {
 *   static readonly url = import.meta.url
 *   static readonly task = ImageTask
 *   handle(tasks: readonly ImageTask[]): void {
 *     for (const task of tasks) {
 *       const span = trace.getTracer('faces').startSpan('count faces', {}, contextOf(task))
 *       task.faces++
 *       span.end()
 *     }
 *   }
 * }
 * ```
 */
export const contextOf = (task: BaseTask): Context =>
  propagation.extract(ROOT_CONTEXT, task.traceContext ?? {})

/** The span of a task in its trace; undefined when it is not traced. */
export function spanContextOf(task: BaseTask): SpanContext | undefined {
  const span = trace.getSpanContext(contextOf(task))
  return span !== undefined && isSpanContextValid(span) ? span : undefined
}

const keyOf = (step: string): string => `aqueduct-batch-${step}`

/** Has the task tell its caller of which batch it was part at a step. */
export function noteBatch(
  task: BaseTask,
  step: string,
  { traceId, spanId, traceFlags }: SpanContext,
): void {
  const note = `${traceId}-${spanId}-${traceFlags}`
  task.traceContext = { ...task.traceContext, [keyOf(step)]: note }
}

/** The span of the batch of which the task was part at a step, if its worker makes spans. */
export function batchOf(task: BaseTask, step: string): SpanContext | undefined {
  const [traceId = '', spanId = '', flags] = task.traceContext?.[keyOf(step)]?.split('-') ?? []
  const traceFlags = Number(flags) & TraceFlags.SAMPLED
  const batch = { traceId, spanId, traceFlags, isRemote: true }
  return isSpanContextValid(batch) ? batch : undefined
}
