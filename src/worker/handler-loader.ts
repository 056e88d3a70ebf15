import { isAbsolute } from 'node:path'
import { pathToFileURL } from 'node:url'
import { InvalidHandlerError } from '../errors.ts'
import type { HandlerAddress } from '../transport/protocol.ts'
import type { Batch } from './batch.ts'
import type { Claim } from './batcher.ts'

type Class = abstract new (...args: never[]) => object

interface HandlerInstance {
  handle(tasks: readonly object[], context: object): unknown
  onStart?(context: object): unknown
  onStop?(): unknown
}

export interface LoadedHandler {
  readonly instance: HandlerInstance
  readonly writesInput: boolean
  /** What the handler's `task` names, in its order. */
  readonly taskClasses: readonly Class[]
}

/** Imports a handler's module, finds its class among the exports, and makes the instance. */
export async function loadHandler({
  url,
  className,
  args,
}: HandlerAddress): Promise<LoadedHandler> {
  const exports = (await import(isAbsolute(url) ? pathToFileURL(url).href : url)) as Record<
    string,
    unknown
  >
  const HandlerClass = findClass(exports, className)
  if (HandlerClass === undefined) {
    const names = Object.keys(exports)
    const found = names.length === 0 ? 'exports nothing' : `exports ${names.join(', ')}`
    throw new InvalidHandlerError(
      className,
      `the module ${url} does not export the class ${className} (it ${found}); workers find a handler by its exported class`,
    )
  }
  const instance = Reflect.construct(HandlerClass, args as unknown[]) as HandlerInstance
  const statics = HandlerClass as unknown as {
    readonly task: Class | readonly Class[]
    readonly writesInput?: boolean
  }
  const taskClasses = typeof statics.task === 'function' ? [statics.task] : statics.task
  return { instance, writesInput: statics.writesInput === true, taskClasses }
}

function findClass(
  exports: Record<string, unknown>,
  className: string,
): (new () => object) | undefined {
  const candidates = [exports[className], exports['default'], ...Object.values(exports)]
  return candidates.find((value): value is new () => object => {
    return (
      typeof value === 'function' &&
      value.name === className &&
      typeof value.prototype?.handle === 'function'
    )
  })
}

/** What the library's own base class of tasks lets a worker do; the worker's module may have another copy of it. */
interface TaskBase extends Class {
  claimed?(task: object, batch: Batch, claim: Claim): void
}

/**
 * Makes an empty task of a class: its prototype, and whatever the library's own base class keeps in a task, but without
 * running the constructors of the user's classes.
 */
export function taskMaker(TaskClass: Class): (claim: Claim, batch: Batch) => object {
  let base: TaskBase = TaskClass
  for (let parent = parentOf(base); parent !== undefined; parent = parentOf(base)) base = parent
  return (claim, batch) => {
    const task = Reflect.construct(base, [], TaskClass) as object
    base.claimed?.(task, batch, claim)
    return task
  }
}

function parentOf(child: Class): Class | undefined {
  const parent: unknown = Object.getPrototypeOf(child)
  return typeof parent === 'function' && parent !== Function.prototype
    ? (parent as Class)
    : undefined
}
