import { InvalidOptionError } from './errors.ts'
import { type FlowStep, taskClassesOf } from './step.ts'

/** A condition is evaluated where the task is: in the workers of the steps before. Their task classes need the method too. */
export function checkConditions(steps: readonly FlowStep<never>[]): void {
  steps.forEach(({ options: { name, handleCondition } }, index) => {
    if (handleCondition === undefined) return
    for (const { handler } of steps.slice(0, index)) {
      for (const taskClass of taskClassesOf(handler)) {
        const method: unknown = (taskClass.prototype as unknown as Record<string, unknown>)[
          handleCondition
        ]
        if (typeof method === 'function') continue
        throw new InvalidOptionError(
          'handleCondition',
          `step ${name}: '${handleCondition}' is asked by the workers of ${handler.name}, whose task class ${taskClass.name} has no such method`,
        )
      }
    }
  })
}

/** Index of the class among `known` that `taskClass` is or extends most closely, or -1. */
export function nearest(known: readonly unknown[], taskClass: unknown): number {
  for (
    let ancestor = taskClass;
    typeof ancestor === 'function';
    ancestor = Object.getPrototypeOf(ancestor)
  ) {
    const index = known.indexOf(ancestor)
    if (index >= 0) return index
  }
  return -1
}

/** `#private` state stays behind when a task travels; where the source shows it, say so once. */
export function warnOfPrivateState(taskClass: { readonly name: string }): void {
  if (!/[{;}\s]#[\p{ID_Start}$_]/u.test(Function.prototype.toString.call(taskClass))) return
  process.emitWarning(
    `${taskClass.name} has #private members: they do not travel to workers, where using them throws`,
    { code: 'AQ_PRIVATE_STATE' },
  )
}
