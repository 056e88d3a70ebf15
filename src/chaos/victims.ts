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
  /** Those that were killed and whose death the flow has not reported yet. */
  readonly #dying = new Set<number>()

  constructor(flow: Flow<BaseTask>) {
    this.#flow = flow
  }

  /**
   * Kills a worker of the flow, whatever it is doing; false when less than half of them run: where nothing is done any
   * more, a death is nothing.
   */
  killOne(random: Random): boolean {
    const { workers } = this.#flow.stats()
    const living = this.see(workers).filter(({ pid }) => !this.#dying.has(pid))
    const running = living.filter(({ state }) => state === 'running')
    if (running.length < workers.length / 2) return false
    const { pid } = living[integerOf(random, 0, living.length)]!
    this.#dying.add(pid)
    return kill(pid, 'SIGKILL')
  }

  /** The workers that are processes of their own and alive. A thread has the pid of this process. */
  see(workers: readonly WorkerStats[]): WorkerStats[] {
    const living = workers.filter(
      ({ pid, state }) => state !== 'dead' && pid > 0 && pid !== process.pid,
    )
    const pids = new Set(living.map(({ pid }) => pid))
    for (const pid of pids) this.#pids.add(pid)
    for (const pid of this.#dying) if (!pids.has(pid)) this.#dying.delete(pid)
    return living
  }

  /** Whether the flow knows of each worker that was killed; that may take a moment on a busy machine. */
  areGone(workers: readonly WorkerStats[]): boolean {
    this.see(workers)
    return this.#dying.size === 0
  }

  /** Workers that live and that the flow does not know any more. */
  strays(): number[] {
    const known = new Set(this.see(this.#flow.stats().workers).map(({ pid }) => pid))
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
