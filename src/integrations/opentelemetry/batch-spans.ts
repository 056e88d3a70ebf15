import { AsyncLocalStorage } from 'node:async_hooks'
import { tracingChannel } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import {
  type Context,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  context,
  trace,
} from '@opentelemetry/api'
import type { BaseTask, HandleTrace } from '../../index.ts'
import { noteBatch, spanContextOf } from './task-context.ts'

/** What a channel runs its calls in: not a store of its own, but OpenTelemetry's. */
class ActiveContext extends AsyncLocalStorage<Context> {
  override run<Result, Args extends unknown[]>(
    active: Context,
    callback: (...args: Args) => Result,
    ...args: Args
  ): Result {
    return context.with(active, callback, undefined, ...args)
  }
}

const ignore = (): void => undefined

const isSampled = ({ traceFlags }: SpanContext): boolean => (traceFlags & TraceFlags.SAMPLED) !== 0

/**
 * Makes a span of each batch that a handler of this worker gets, and has it active while it is handled. It lies in the
 * trace of the first of its tasks that is recorded, so that the decision to record holds for it too, and is linked to all
 * of them.
 */
export function traceBatches(tracer: Tracer): () => void {
  const spans = new WeakMap<HandleTrace, Span>()
  const begin = (message: HandleTrace): Context => {
    const tasks = message.tasks as readonly BaseTask[]
    const members = tasks.flatMap((task) => spanContextOf(task) ?? [])
    const parent = members.find(isSampled)
    if (parent === undefined) return context.active()
    const own = trace.setSpanContext(context.active(), parent)
    const { step, handler, worker } = message
    const span = tracer.startSpan(
      `handle ${step}`,
      {
        kind: SpanKind.CONSUMER,
        links: members.map((member) => ({ context: member })),
        attributes: {
          'aqueduct.step': step,
          'aqueduct.handler': handler,
          'aqueduct.worker': worker,
          'aqueduct.batch.size': tasks.length,
        },
      },
      own,
    )
    spans.set(message, span)
    for (const task of tasks)
      if (task.traceContext !== undefined) noteBatch(task, step, span.spanContext())
    return trace.setSpan(own, span)
  }
  const end = (message: HandleTrace): void => {
    const span = spans.get(message)
    if (span === undefined) return
    const { error } = message
    if (error !== undefined) {
      const thrown = error instanceof Error ? error : new Error(inspect(error))
      span.recordException(thrown)
      span.setStatus({ code: SpanStatusCode.ERROR, message: thrown.message })
    }
    span.end()
  }
  const channel = tracingChannel<Context, HandleTrace>('aqueduct:handle')
  const subscribers = {
    start: ignore,
    end: ignore,
    asyncStart: ignore,
    asyncEnd: end,
    error: ignore,
  }
  const active = new ActiveContext()
  channel.start.bindStore(active, begin)
  channel.subscribe(subscribers)
  return () => {
    channel.start.unbindStore(active)
    channel.unsubscribe(subscribers)
  }
}
