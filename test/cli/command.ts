import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { eventually } from '../examples/example.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const bin = fileURLToPath(new URL('../../dist/cli/aqueduct.js', import.meta.url))

export const flowFile = 'test/fixtures/served-flow.ts'

/** What a command has come to. */
export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** The command line, as somebody calls it. */
export class Command implements AsyncDisposable {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  #out = ''
  #err = ''

  constructor(
    args: readonly string[],
    { env = {}, terminal = false, cwd = root, file = bin } = {},
  ) {
    const command = [process.execPath, file, ...args]
    const [program, rest]: [string, string[]] = terminal
      ? ['script', ['--quiet', '--return', '--command', command.join(' '), '/dev/null']]
      : [command[0]!, command.slice(1)]
    this.child = spawn(program, rest, {
      cwd,
      env: { ...process.env, NO_COLOR: '', ...env },
      stdio: 'pipe',
    })
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#out += text
    })
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#err += text
    })
    this.ended = once(this.child, 'close').then(([code]) => ({
      code: code as number | null,
      out: this.#out,
      err: this.#err,
    }))
  }

  get out(): string {
    return this.#out
  }

  /** Resolves with what it has printed, once that matches. */
  printed(pattern: RegExp): Promise<RegExpExecArray> {
    return eventually(async () => {
      if (this.child.exitCode !== null) throw new Error(`it has ended: ${this.#out}${this.#err}`)
      return pattern.exec(this.#out) ?? undefined
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }
}

/** Calls a command, and waits for its end. */
export const call = (...args: readonly string[]): Promise<Ended> => new Command(args).ended
