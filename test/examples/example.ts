import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** An example, running as a user runs it: a process of its own. */
export interface Example extends AsyncDisposable {
  readonly pid: number
  /** Where it listens. */
  readonly url: string
  /** All that it has printed. */
  readonly printed: () => string
  /** Sends the signal and resolves with how the process ended. */
  readonly end: (signal: NodeJS.Signals) => Promise<Ended>
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly printed: string
}

type Env = Readonly<Record<string, string>>

function launch(script: string, args: readonly string[], env: Env) {
  if (!existsSync(new URL('../../dist/index.js', import.meta.url))) {
    throw new Error('the examples import the built package: npm run build first')
  }
  const child = spawn(process.execPath, [`examples/${script}`, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed += text
    })
  }
  const ended = once(child, 'close').then(([code, signal]): Ended => ({ code, signal, printed }))
  return { child, ended, printed: () => printed }
}

/** Runs an example to its end. */
export function runExample(
  script: string,
  args: readonly string[] = [],
  env: Env = {},
): Promise<Ended> {
  return launch(script, args, env).ended
}

/** Starts a program among the examples, on a free port, and waits until it says that it runs: a server, where it listens. */
export async function startExample(
  script: string,
  env: Env = {},
  sign: RegExp = /http:\/\/[\d.]+:\d+/,
): Promise<Example> {
  const { child, ended, printed } = launch(script, [], { PORT: '0', ...env })
  const url = await new Promise<string>((resolve, reject) => {
    const look = (): void => {
      const address = sign.exec(printed())
      if (address !== null) resolve(address[0])
    }
    child.stdout.on('data', look)
    void ended.then(() => reject(new Error(`it ended early: ${printed()}`)))
  })
  const end = (signal: NodeJS.Signals): Promise<Ended> => {
    child.kill(signal)
    return ended
  }
  return {
    pid: child.pid!,
    url,
    printed,
    end,
    [Symbol.asyncDispose]: async () => {
      await end('SIGKILL')
    },
  }
}

/** Resolves once `look` finds something. */
export async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
