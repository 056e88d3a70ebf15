import { tracingChannel } from 'node:diagnostics_channel'
import type { WorkerOrigin } from '../transport/protocol.ts'

/** What the tracing channel `aqueduct:handle` says of a batch, in the worker that handles it. */
export interface HandleTrace extends Omit<WorkerOrigin, 'pid'> {
  /** The tasks of the batch, as the handler gets them. */
  readonly tasks: readonly object[]
  /** From `error` on, when the handler has failed. */
  error?: unknown
}

interface Handler {
  handle(tasks: readonly object[], context: object): unknown
}

const batches = tracingChannel<HandleTrace>('aqueduct:handle')

/** The same handler, for somebody to watch. While nobody does, a batch costs one look whether that is so. */
export function watchedHandler(handler: Handler, origin: Omit<HandleTrace, 'tasks'>): Handler {
  return {
    handle: (tasks, context) =>
      batches.hasSubscribers
        ? watch({ ...origin, tasks }, () => handler.handle(tasks, context))
        : handler.handle(tasks, context),
  }
}

/** What a handler does at once is told as what takes longer is, so that every batch ends with `asyncEnd`. */
function watch(trace: HandleTrace, handle: () => unknown): unknown {
  const { start, end, asyncStart, asyncEnd, error } = batches
  const settle = (): void => {
    asyncStart.publish(trace)
    asyncEnd.publish(trace)
  }
  const fail = (thrown: unknown): never => {
    trace.error = thrown
    error.publish(trace)
    settle()
    throw thrown
  }
  let result: unknown
  try {
    result = start.runStores(trace, handle)
  } catch (thrown) {
    end.publish(trace)
    return fail(thrown)
  }
  end.publish(trace)
  if (!isPromise(result)) {
    settle()
    return result
  }
  return Promise.resolve(result).then((value) => {
    settle()
    return value
  }, fail)
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
