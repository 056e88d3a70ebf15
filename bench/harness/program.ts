import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { python } from './peers.ts'

/** How long a program may take to end before it is ended. */
const END_TIMEOUT_MS = 15_000
/** How long a program may be silent, beside the seconds that an order says it takes; a slow machine takes them twice. */
const ANSWER_TIMEOUT_MS = 300_000
const MOST_TIMES_ITS_SECONDS = 2
/** The descriptor on which a program answers: what it prints is not an answer. */
const ANSWERS = 3
/** Lines of standard error that a failure quotes. */
const QUOTED_LINES = 20

/** None of them outlives this process. */
const running = new Set<{ kill(): void }>()
process.once('exit', () => running.forEach((program) => program.kill()))

/**
 * A process of its own in which something is measured, so that neither the harness nor another peer disturbs it. It is
 * given a plan as its first argument, says what it is when it is ready, and then answers one order at a time: a line of
 * JSON each, orders on standard input, answers on descriptor 3. Programs in Python speak the same.
 */
export class Program<Ready = object> implements AsyncDisposable {
  readonly pid: number
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>
  readonly #exited: Promise<void>
  readonly #printed: string[] = []
  #ready: Ready | undefined

  private constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' }, // it writes files and reports home
      detached: true, // a group of its own, so that nothing of it is left
    })
    this.pid = this.#child.pid ?? 0
    this.#exited = new Promise((resolve) => {
      this.#child.once('close', () => resolve())
      this.#child.once('error', (error) => {
        this.#printed.push(error.message)
        resolve()
      })
    })
    const lines = createInterface({ input: this.#child.stdio[ANSWERS] as Readable })
    this.#answers = lines[Symbol.asyncIterator]()
    this.#child.once('exit', () => lines.close()) // its workers may hold the descriptor a little longer
    this.#child.stdin!.on('error', () => undefined) // it ended: the answer that is missing says so
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.#printed.push(line)
        if (this.#printed.length > QUOTED_LINES) this.#printed.shift()
      })
    }
  }

  /** Starts a program of `bench/programs` and waits until it is ready. */
  static node<Ready>(
    name: string,
    plan: object,
    execArgv: readonly string[] = [],
  ): Promise<Program<Ready>> {
    const file = fileURLToPath(new URL(`../programs/${name}.ts`, import.meta.url))
    return Program.#begin(process.execPath, [...execArgv, file, JSON.stringify(plan)])
  }

  /** Starts a program of `bench/peers/python` and waits until it is ready. */
  static python<Ready>(name: string, plan: object): Promise<Program<Ready>> {
    const file = fileURLToPath(new URL(`../peers/python/${name}.py`, import.meta.url))
    return Program.#begin(python, ['-B', file, JSON.stringify(plan)])
  }

  static async #begin<Ready>(command: string, args: readonly string[]): Promise<Program<Ready>> {
    const program = new Program<Ready>(command, args)
    running.add(program)
    void program.#exited.then(() => running.delete(program))
    try {
      program.#ready = await program.#answer<Ready>()
    } catch (error) {
      await program.close()
      throw error
    }
    return program
  }

  /** What the program said when it was ready. */
  get ready(): Ready {
    return this.#ready!
  }

  /** Has the program do something, for `seconds` if it says so, and resolves with its answer. */
  async ask<Answer>(order: object): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify(order)}\n`)
    return this.#answer((order as { readonly seconds?: number }).seconds)
  }

  async close(): Promise<void> {
    this.#child.stdin!.end()
    const timer = setTimeout(() => this.kill(), END_TIMEOUT_MS)
    await this.#exited
    clearTimeout(timer)
    this.kill()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The whole group at once: also what the program should have ended itself. */
  kill(): void {
    try {
      if (this.pid > 0) process.kill(-this.pid, 'SIGKILL')
    } catch {
      // There is nothing left of it.
    }
  }

  async #answer<Answer>(seconds = 0): Promise<Answer> {
    const timeout = ANSWER_TIMEOUT_MS + MOST_TIMES_ITS_SECONDS * seconds * 1000
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      this.kill()
    }, timeout)
    const { value, done } = await this.#answers.next()
    clearTimeout(timer)
    if (done) {
      await Promise.race([this.#exited, new Promise((resolve) => setTimeout(resolve, 500).unref())])
      const { exitCode, signalCode } = this.#child
      const end = isLate
        ? `was ended: it said nothing for ${timeout / 1000} s`
        : `ended with ${signalCode ?? `exit code ${exitCode}`} before it was done`
      throw new Error(`a program ${end}:\n${this.#printed.join('\n')}`)
    }
    const answer = JSON.parse(value) as { readonly error?: string }
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer as Answer
  }
}
