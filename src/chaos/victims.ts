import type { BaseTask, Flow, WorkerStats } from '../index.ts'
import { type Random, integerOf } from './random.ts'

/**
 * The worker processes of a flow, as its reports name them: those that may be killed now, and those that it has
 * forgotten although they live.
 */
export class Victims {
  readonly #flow: Flow<BaseTask>
  /** Of all workers that were ever seen. */
  readonly #pids = new Set<number>()
  readonly #killed = new Set<number>()

  constructor(flow: Flow<BaseTask>) {
    this.#flow = flow
  }

  /** Kills a worker of the flow, whatever it is doing; false when there is none to kill. */
  killOne(random: Random): boolean {
    const living = this.look().filter(({ pid }) => !this.#killed.has(pid))
    if (living.length === 0) return false
    const { pid } = living[integerOf(random, 0, living.length)]!
    this.#killed.add(pid)
    return kill(pid, 'SIGKILL')
  }

  /** The workers that are processes of their own and alive. */
  look(): WorkerStats[] {
    return this.see(this.#flow.stats().workers)
  }

  /** The same of what somebody else has looked at. A thread has the pid of this process. */
  see(workers: readonly WorkerStats[]): WorkerStats[] {
    const living = workers.filter(
      ({ pid, state }) => state !== 'dead' && pid > 0 && pid !== process.pid,
    )
    for (const { pid } of living) this.#pids.add(pid)
    return living
  }

  /** Workers that live and that the flow does not know any more. */
  strays(): number[] {
    const known = new Set(this.look().map(({ pid }) => pid))
    return [...this.#pids].filter((pid) => !known.has(pid) && kill(pid, 0))
  }
}

/** False: there is no such process. */
function kill(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}
