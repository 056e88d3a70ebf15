/** Defines fields on a target, each with the next value that is read. */
export type Fill = (target: object, next: () => unknown) => void

/**
 * Compiles the assignments of a shape's fields. The engine then learns where each of them lies in the target, which it
 * cannot where one loop assigns them all. Undefined where no code may be made from strings
 * (`--disallow-code-generation-from-strings`): the loop does the same.
 */
export function compileFill(names: readonly string[]): Fill | undefined {
  const assignments = names.map((name) => `target[${JSON.stringify(name)}] = next()`)
  try {
    const body = ["'use strict'", ...assignments].join('\n')
    return Reflect.construct(Function, ['target', 'next', body]) as Fill
  } catch {
    return undefined
  }
}
