/**
 * The mark that a process or thread is a worker of a flow. It is a property of the global object, so that it is seen by
 * every copy of this library that the worker loads.
 */
const mark = Symbol.for('aqueduct-ts.worker')

interface Mark {
  /** Called when something tries to start a flow inside the worker. */
  readonly onFlowStart: () => void
}

const global = globalThis as { [mark]?: Mark }

/**
 * Whether this code runs in a worker of a flow. A module that both defines a handler and starts a flow guards itself
 * with it.
 *
 * @example
 * ```ts
 * import { isFlowWorker } from 'aqueduct-ts'
 *
 * if (!isFlowWorker()) console.log('this is the parent')
 * ```
 */
export const isFlowWorker = (): boolean => global[mark] !== undefined

export function markFlowWorker(onFlowStart: () => void): void {
  global[mark] = { onFlowStart }
}

/** Tells the worker that a flow was about to be started in it. */
export function reportFlowStart(): void {
  global[mark]?.onFlowStart()
}
