#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { type Command, CommandError, UsageError, nearest } from './command.ts'

interface Entry {
  readonly about: string
  /** Loaded when it is called: help and mistakes need not wait for it. */
  load(): Promise<Command>
}

const commands: Readonly<Record<string, Entry>> = {
  run: {
    about: 'serves a flow over HTTP: with health, metrics and the dashboard',
    load: async () => (await import('./run.ts')).run,
  },
  top: {
    about: 'shows a running flow in the terminal',
    load: async () => (await import('./top.ts')).top,
  },
  dashboard: {
    about: 'shows a running flow as a live page',
    load: async () => (await import('./dashboard.ts')).dashboard,
  },
  chaos: {
    about: 'does harm to a flow, and checks that nothing is lost by it',
    load: async () => (await import('./chaos.ts')).chaos,
  },
  bench: {
    about: 'measures what the library costs on this machine',
    load: async () => (await import('./bench.ts')).bench,
  },
}

const help = `Usage: aqueduct <command> [options]

${Object.entries(commands)
  .map(([name, { about }]) => `  ${name.padEnd(12)}${about}`)
  .join('\n')}

  aqueduct <command> --help says more. --version prints the version.

Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong.
`

function version(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(file) as { version: string }).version
}

async function main([name, ...args]: readonly string[]): Promise<number | undefined> {
  if (name === undefined) {
    process.stderr.write(help)
    return 2
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(args[0] === undefined ? help : (await commandOf(args[0])).help)
    return 0
  }
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${version()}\n`)
    return 0
  }
  const command = await commandOf(name)
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(command.help)
    return 0
  }
  return command.run(args)
}

async function commandOf(name: string): Promise<Command> {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command !== undefined) return command.load()
  const meant = nearest(name, Object.keys(commands))
  throw new UsageError(
    `there is no command '${name}'${meant === undefined ? '' : `; did you mean '${meant}'?`}`,
  )
}

// Who reads no more, as `head` does, is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? 0 : 1),
)

try {
  const code = await main(process.argv.slice(2))
  if (code !== undefined) process.exitCode = code
} catch (error) {
  const isMistake = error instanceof UsageError
  if (!isMistake && !(error instanceof CommandError)) throw error
  process.stderr.write(`aqueduct: ${error.message}\n`)
  if (isMistake) process.stderr.write('`aqueduct --help` says what there is.\n')
  process.exitCode = isMistake ? 2 : 1
}
