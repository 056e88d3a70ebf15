import type { Plan } from './attempt.ts'
import { type Random, integerOf } from './random.ts'
import type { ChaosService, Harm } from './service.ts'

/** Shares of a storm's tasks. */
const IN_A_HURRY = 0.1
const HANGING_UP = 0.1
const THROWING = 0.02
/** Longest timeout of who is in a hurry, and longest time until somebody hangs up, in milliseconds. */
const HURRY = 200
const HANG_UP = 50

const PRIORITIES = 3

/** A task whose caller waits for it. */
export const calmPlan = (service: ChaosService, random: Random): Plan => ({
  priority: integerOf(random, 0, PRIORITIES),
  timeout: Infinity,
  hangUpAfter: undefined,
  harm: undefined,
  task: service.makeTask(random),
})

/** A task as a storm has them: some callers are in a hurry, some hang up, some tasks throw. */
export function stormPlan(service: ChaosService, random: Random): Plan {
  const fate = random()
  const time = random()
  const plan = calmPlan(service, random)
  if (fate < IN_A_HURRY) return { ...plan, timeout: time * HURRY }
  if (fate < IN_A_HURRY + HANGING_UP) return { ...plan, hangUpAfter: time * HANG_UP }
  if (fate < IN_A_HURRY + HANGING_UP + THROWING) {
    const task = service.makeHarmful?.('throw', random)
    if (task !== undefined) return { ...plan, task, harm: 'throw' }
  }
  return plan
}

/** A task that ends its worker, or never returns; undefined where the service has none. */
export function harmfulPlan(service: ChaosService, harm: Harm, random: Random): Plan | undefined {
  const task = service.makeHarmful?.(harm, random)
  return (
    task && {
      priority: integerOf(random, 0, PRIORITIES),
      timeout: Infinity,
      hangUpAfter: undefined,
      harm,
      task,
    }
  )
}
