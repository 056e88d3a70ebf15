import type { Uploads } from './client/uploads.ts'
import { InvalidOptionError, InvalidTaskError, NotRunningError } from './errors.ts'

interface RunningFlow {
  readonly taskClasses: { readonly has: (taskClass: unknown) => boolean }
  readonly uploads: Uploads
}

/** The flows that take tasks in this process: those that it started, and those that it is attached to. */
const running = new Map<object, RunningFlow>()

/** Says that `flow` takes tasks of these classes from now on, and receives bodies for them. */
export function addRunningFlow(
  flow: object,
  taskClasses: RunningFlow['taskClasses'],
  uploads: Uploads,
): void {
  running.set(flow, { taskClasses, uploads })
}

/** Says that `flow` takes no more tasks. The bodies that are on their way to it fail. */
export function removeRunningFlow(flow: object): void {
  running.get(flow)?.uploads.failAll()
  running.delete(flow)
}

/** Who receives a body for a task: the flow that is named, or the only one that handles tasks of its class. */
export function uploadsFor(task: object, flow: object | undefined): Uploads {
  const { name } = task.constructor
  if (flow !== undefined) {
    const named = running.get(flow)
    if (named === undefined) throw new NotRunningError(stateOf(flow))
    if (named.taskClasses.has(task.constructor)) return named.uploads
    throw new InvalidTaskError(`the flow that \`flow\` names does not handle tasks of ${name}`)
  }
  const able = [...running.values()].filter(({ taskClasses }) => taskClasses.has(task.constructor))
  const [only, ...others] = able
  if (only === undefined) {
    const message = `no flow that handles tasks of ${name} is running: shareFrom() needs its memory between start() and stop()`
    throw new NotRunningError('not running', message)
  }
  if (others.length === 0) return only.uploads
  throw new InvalidOptionError(
    'flow',
    `${able.length} running flows handle tasks of ${name}: name the one that will process this task, shareFrom(field, stream, { flow })`,
  )
}

function stateOf(flow: object): string {
  const { state } = flow as { readonly state?: unknown }
  return typeof state === 'string' ? state : 'not running'
}
