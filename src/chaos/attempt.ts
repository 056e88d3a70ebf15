import type { RecordableHistogram } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import type { BaseTask, Flow } from '../index.ts'
import { type Ledger, codeOf, isRefusal } from './ledger.ts'
import type { ChaosService, Harm } from './service.ts'

/** A task that is going to be processed, and what its caller is like. */
export interface Plan {
  readonly task: BaseTask
  readonly priority: number
  /** Milliseconds; Infinity for a caller who waits. */
  readonly timeout: number
  /** Milliseconds until its caller hangs up; undefined for one that does not. */
  readonly hangUpAfter: number | undefined
  /** Undefined: it does none, or it is the user's and nobody knows. */
  readonly harm: Harm | undefined
}

/** Where attempts are made, and what is noted of them. */
export interface Scene {
  readonly service: ChaosService
  readonly flow: Flow<BaseTask>
  readonly ledger: Ledger
  /** Of completed tasks, in microseconds. */
  latency: RecordableHistogram | undefined
  /** Worker processes that were seen to handle a task. */
  readonly seenWorkers: Set<number>
  /** What is on the way. */
  readonly underWay: Set<Plan>
  /** How often the flow was `failed` for a while, since a step's workers had been killed while they started. */
  outages: number
  /** Whether workers may be dying, by a kill or by another task. */
  isStormy: boolean
}

/** Whether a task may end with this error, by what it is and what is done to it. */
function allows({ service, isStormy, outages }: Scene, plan: Plan, code: string): boolean {
  const isForeign = service.makeHarmful === undefined // nobody knows what its handlers do, and what its steps say
  switch (code) {
    case 'AQ_TIMEOUT':
    case 'AQ_OUT_OF_MEMORY':
      return plan.timeout !== Infinity
    case 'AQ_CANCELLED':
      return plan.hangUpAfter !== undefined
    case 'AQ_HANDLER_FAILED': // where two culprits are in one batch, it is split a limited number of times
      return isStormy || isForeign
    case 'AQ_TASK_POISONED': // also one whose worker was killed from outside while it was run again, alone
      return isStormy
    case 'AQ_HANDLE_TIMEOUT': // also one whose worker took long to end
      return plan.harm === 'hang' || plan.harm === 'die' || isForeign
    case 'AQ_START_FAILED': // what was pending in an outage; in another process:
    case 'AQ_STOPPED':
      return isStormy && outages > 0
    case 'AQ_WORKER_DIED':
      return isStormy && isForeign
    default:
      return false
  }
}

/** Milliseconds past its deadline by which a task must have its outcome, on a machine that is busy. */
const GRACE = 5_000

/** Has a task processed, books its outcome and judges it. Never rejects; `false`: it was refused. */
export async function attempt(scene: Scene, plan: Plan): Promise<boolean> {
  const { flow, ledger, latency, underWay } = scene
  const { task, timeout, priority, hangUpAfter } = plan
  const hangUp = hangUpAfter === undefined ? undefined : new AbortController()
  const timer = hangUp && setTimeout(() => hangUp.abort(), hangUpAfter)
  ledger.admit()
  underWay.add(plan)
  const start = performance.now()
  try {
    await flow.process(task, { timeout, priority, ...(hangUp && { signal: hangUp.signal }) })
  } catch (error) {
    ledger.reject(error)
    const code = codeOf(error)
    if (isRefusal(code)) return false
    if (!allows(scene, plan, code))
      ledger.wrong(`${describePlan(plan)} failed with ${code}: ${String(error)}`)
    return true
  } finally {
    clearTimeout(timer)
    underWay.delete(plan)
    if (performance.now() - start > timeout + GRACE) {
      ledger.overdue++
      ledger.tell(`${describePlan(plan)} had its outcome after ${performance.now() - start} ms`)
    }
  }
  ledger.complete()
  latency?.record(Math.max(1, Math.round((performance.now() - start) * 1000)))
  judge(scene, plan)
  for (const pid of scene.service.workersOf?.(task) ?? []) scene.seenWorkers.add(pid)
  task.release()
  return true
}

/** Milliseconds until a caller who was refused tries again: a flow that cannot take tasks says so at once. */
const AGAIN = 10

/** Has one task after the other processed until it `isOver`. */
export async function keepCalling(
  scene: Scene,
  nextPlan: () => Plan,
  isOver: () => boolean,
): Promise<void> {
  while (!isOver()) {
    if (!(await attempt(scene, nextPlan()))) await delay(AGAIN)
  }
}

function judge({ service, ledger }: Scene, plan: Plan): void {
  if (plan.harm !== undefined) {
    ledger.wrong(`${describePlan(plan)} was completed`)
    return
  }
  try {
    if (service.verify?.(plan.task) === false) ledger.wrong(`${describePlan(plan)} came back wrong`)
  } catch (error) {
    ledger.wrong(`${describePlan(plan)} came back wrong: ${String(error)}`)
  }
}

/** A task and its caller, in words. */
export function describePlan({ task, harm, timeout, hangUpAfter }: Plan): string {
  const facts = [
    harm === undefined ? '' : `made to ${harm}`,
    timeout === Infinity ? '' : `timeout ${Math.round(timeout)} ms`,
    hangUpAfter === undefined ? '' : `hung up after ${Math.round(hangUpAfter)} ms`,
  ].filter((fact) => fact !== '')
  const { id } = task as { readonly id?: unknown }
  const isNamed = typeof id === 'string' || typeof id === 'number'
  const name = isNamed ? `${task.constructor.name} ${id}` : task.constructor.name
  return facts.length === 0 ? name : `${name} (${facts.join(', ')})`
}
