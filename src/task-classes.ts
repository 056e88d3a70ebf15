import { InvalidHandlerError, InvalidOptionError } from './errors.ts'
import { type FlowStep, taskClassesOf } from './step.ts'

type Steps = readonly Pick<FlowStep<never>, 'handler' | 'options'>[]

/**
 * The classes of tasks that a flow accepts: of those that its handlers name, the ones that no step refuses. A step with a
 * condition may be skipped by tasks that it could not handle. A class that is only the base of others need not be
 * accepted itself.
 */
export function acceptedClasses(steps: Steps): unknown[] {
  const named = [...new Set<unknown>(steps.flatMap(({ handler }) => taskClassesOf(handler)))]
  const refusing = (taskClass: unknown): Steps[number] | undefined =>
    steps.find(
      ({ handler, options }) =>
        options.handleCondition === undefined && nearest(taskClassesOf(handler), taskClass) < 0,
    )
  const accepted = named.filter((taskClass) => refusing(taskClass) === undefined)
  for (const taskClass of named) {
    const step = refusing(taskClass)
    if (step === undefined || accepted.some((it) => nearest([taskClass], it) >= 0)) continue
    const { name } = taskClass as { readonly name: string }
    const other = steps.find(({ handler }) => taskClassesOf(handler).includes(taskClass as never))
    throw new InvalidHandlerError(
      step.handler.name,
      `step ${step.options.name}: the \`task\` of ${step.handler.name} does not name ${name}, which ${other!.handler.name} handles: every task passes every step; name ${name} there too, or give the step a \`handleCondition\` that is false for it`,
    )
  }
  return accepted
}

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
