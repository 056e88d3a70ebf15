import type { ChaosProgress } from './chaos-options.ts'

/** What a storm is doing, in one line of a terminal that is written again and again. */
export class ProgressLine {
  readonly #terminal: NodeJS.WriteStream

  constructor(terminal: NodeJS.WriteStream) {
    this.#terminal = terminal
  }

  show({ phase, elapsed, tasksPerSecond, kills, restarts, tasks }: ChaosProgress): void {
    const { completed, failed, timedOut, cancelled, pending } = tasks
    const line = [
      `${elapsed.toFixed(0).padStart(3)} s ${phase.padEnd(6)}`,
      `${Math.round(tasksPerSecond)} tasks/s`,
      `${kills} kills, ${restarts} restarts`,
      `${completed} completed, ${failed} failed, ${timedOut} timed out, ${cancelled} cancelled, ${pending} pending`,
    ].join(' | ')
    this.#terminal.write(`\r\u001B[K${line.slice(0, this.#terminal.columns - 1)}`)
  }

  clear(): void {
    this.#terminal.write('\r\u001B[K')
  }
}
