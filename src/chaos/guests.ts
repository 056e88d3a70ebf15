import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { GuestReport } from './guest.ts'
import type { Ledger } from './ledger.ts'

/** Milliseconds that a timer of Node can run at the most. */
const LONGEST_TIMER = 2 ** 31 - 1

/** Web processes of a storm, one after another: each is killed where it is, but for the last, which may finish. */
export class Guests {
  /** Guests that were killed. */
  killed = 0
  readonly #start: () => ChildProcess
  readonly #ledger: Ledger
  #guest: ChildProcess

  /** @param ledger - gets what the last guest finds wrong. */
  constructor(start: () => ChildProcess, ledger: Ledger) {
    this.#start = start
    this.#ledger = ledger
    this.#guest = start()
  }

  /** Kills the guest that there is, and lets another come. */
  async killOne(): Promise<void> {
    this.killed++
    await this.end()
    this.#guest = this.#start()
  }

  /** Has the last guest finish what it has, within so many milliseconds. */
  async finish(within: number): Promise<void> {
    const isLate = AbortSignal.timeout(Math.min(Math.ceil(within), LONGEST_TIMER))
    const exit = once(this.#guest, 'exit', { signal: isLate }).catch(() => this.end())
    const reports: GuestReport[] = []
    this.#guest.on('message', (report) => void reports.push(report as GuestReport))
    this.#guest.send({ type: 'enough' })
    await exit
    const [report] = reports
    if (report === undefined) {
      const what = isLate.aborted ? 'did not finish' : 'ended by itself'
      this.#ledger.wrong(`a client in another process ${what}`)
    }
    for (const problem of report?.problems ?? [])
      this.#ledger.wrong(`in another process: ${problem}`)
  }

  /** Kills the guest that there is. */
  async end(): Promise<void> {
    const { exitCode, signalCode } = this.#guest
    if (exitCode !== null || signalCode !== null) return
    const exit = once(this.#guest, 'exit')
    this.#guest.kill('SIGKILL')
    await exit
  }
}
