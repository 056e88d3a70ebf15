import { tracingChannel } from 'node:diagnostics_channel'
import {
  type Context,
  type Span,
  SpanStatusCode,
  type Tracer,
  context,
  propagation,
  trace,
} from '@opentelemetry/api'
import {
  AqueductError,
  type BaseTask,
  type ProcessTrace,
  type StepTimings,
  type TaskTimings,
} from '../../index.ts'
import { batchOf } from './task-context.ts'

/** A span of a task that is on its way. */
interface Started {
  readonly span: Span
  /** The span's own context, for those below it. */
  readonly context: Context
  /** When it began: milliseconds since 1970, and on the clock that only goes on. */
  readonly at: number
  readonly now: number
  /** Whether the task carries the context. */
  readonly isCarried: boolean
  /** Those of a call before, with which one that is refused leaves the task. */
  readonly timingsBefore: TaskTimings | undefined
}

const outcomes: Readonly<Record<string, string>> = {
  AQ_TIMEOUT: 'timed_out',
  AQ_CANCELLED: 'cancelled',
  AQ_QUEUE_FULL: 'rejected',
}

const ignore = (): void => undefined

/** Makes a span of each task that `process()` is called with, and of each step that has handled it. */
export function traceTasks(tracer: Tracer): () => void {
  const started = new WeakMap<ProcessTrace, Started>()
  const carriers = new WeakSet<object>()
  const begin = (message: ProcessTrace): void => {
    const task = message.task as BaseTask
    const at = Date.now()
    const attributes = { 'aqueduct.task': task.constructor.name }
    const span = tracer.startSpan(`process ${task.constructor.name}`, { startTime: at, attributes })
    const own = trace.setSpan(context.active(), span)
    // One that is in flight already is refused, and has the context of its first call.
    const isCarried = !carriers.has(task)
    if (isCarried) {
      const traceContext = {}
      propagation.inject(own, traceContext)
      task.traceContext = traceContext
      carriers.add(task)
    }
    const { timings: timingsBefore } = task
    started.set(message, {
      span,
      context: own,
      at,
      now: performance.now(),
      isCarried,
      timingsBefore,
    })
  }
  const end = (message: ProcessTrace): void => {
    const it = started.get(message)
    if (it === undefined) return // it began before anybody listened
    const task = message.task as BaseTask
    const { span } = it
    const { error } = message
    if (error === undefined) span.setAttribute('aqueduct.outcome', 'completed')
    else setError(span, error)
    if (task.timings !== it.timingsBefore)
      for (const step of task.timings?.steps ?? []) addStep(tracer, it, task, step, error)
    if (it.isCarried) {
      carriers.delete(task)
      delete task.traceContext
    }
    span.end(it.at + performance.now() - it.now)
  }
  const channel = tracingChannel<ProcessTrace>('aqueduct:process')
  const subscribers = {
    start: begin,
    end: ignore,
    asyncStart: ignore,
    asyncEnd: end,
    error: ignore,
  }
  channel.subscribe(subscribers)
  return () => channel.unsubscribe(subscribers)
}

/** From when the task was in the step's queue until its batch was handled. */
function addStep(
  tracer: Tracer,
  parent: Started,
  task: BaseTask,
  timings: StepTimings,
  error: Error | undefined,
): void {
  const { step, startMs, queueMs, batchMs, handleMs, batchSize } = timings
  const startTime = parent.at + startMs
  const batch = batchOf(task, step)
  const span = tracer.startSpan(
    `step ${step}`,
    {
      startTime,
      attributes: {
        'aqueduct.step': step,
        'aqueduct.batch.size': batchSize,
        'aqueduct.queue.duration': queueMs / 1e3,
        'aqueduct.batch.duration': batchMs / 1e3,
        'aqueduct.handle.duration': handleMs / 1e3,
      },
      links: batch === undefined ? [] : [{ context: batch }],
    },
    parent.context,
  )
  if (error !== undefined && stepOf(error) === step) span.setStatus({ code: SpanStatusCode.ERROR })
  span.addEvent('claimed', startTime + queueMs)
  span.addEvent('handling', startTime + queueMs + batchMs)
  span.end(startTime + queueMs + batchMs + handleMs)
}

/** The step at which a task has failed. */
const stepOf = (error: Error): string | undefined =>
  'step' in error && typeof error.step === 'string' ? error.step : undefined

function setError(span: Span, error: Error): void {
  const code = AqueductError.is(error) ? error.code : error.name
  const outcome = outcomes[code] ?? 'failed'
  span.setAttributes({ 'aqueduct.outcome': outcome, 'error.type': code })
  const step = stepOf(error)
  if (step !== undefined) span.setAttribute('aqueduct.step', step)
  if (outcome === 'cancelled') return // what the caller wanted is no error
  span.recordException(error)
  span.setStatus({ code: SpanStatusCode.ERROR, message: error.message })
}
