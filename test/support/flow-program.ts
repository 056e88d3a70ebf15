import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Interface, createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface Ending {
  readonly code: number | null
  readonly signal: string | null
}

const programs = new URL('../fixtures/programs/', import.meta.url)

/** A program of its own that uses the library, run from its TypeScript source. Ended with the test, at the latest. */
export class Program implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #ended: Promise<Ending>
  #errors = ''

  /** In a process group of its own, so that a test can signal it as a terminal does. */
  constructor(file: string, ...args: readonly string[]) {
    this.#child = spawn(process.execPath, [fileURLToPath(new URL(file, programs)), ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    this.#child.stdin!.on('error', () => undefined) // it has ended
    this.#ended = once(this.#child, 'close').then(([code, signal]) => ({ code, signal }))
    const lines: Interface = createInterface({ input: this.#child.stdout! })
    this.#lines = lines[Symbol.asyncIterator]()
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** What it has written to standard error. */
  get errors(): string {
    return this.#errors
  }

  /** The next line that it prints. */
  async line(): Promise<string> {
    const { done, value } = await this.#lines.next()
    if (done === true) throw new Error(`the program ended without a word; ${this.#errors}`)
    return value
  }

  /** The next line that it prints, as JSON. */
  async message<Message>(): Promise<Message> {
    return JSON.parse(await this.line()) as Message
  }

  /** Writes a line to its standard input. */
  tell(line: string): void {
    this.#child.stdin!.write(`${line}\n`)
  }

  /** Waits until it has ended and everything that it wrote has come. */
  ended(): Promise<Ending> {
    return this.#ended
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal)
  }

  /** Signals the program and its workers, as Ctrl-C does. */
  killGroup(signal: NodeJS.Signals): void {
    process.kill(-this.pid, signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}
