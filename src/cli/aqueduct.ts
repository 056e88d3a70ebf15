#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { bench } from './bench.ts'
import { chaos } from './chaos.ts'
import { type Command, CommandError, UsageError, nearest } from './command.ts'
import { dashboard } from './dashboard.ts'
import { run } from './run.ts'
import { top } from './top.ts'

const commands: Readonly<Record<string, Command>> = { run, top, dashboard, chaos, bench }

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
    process.stdout.write(args[0] === undefined ? help : commandOf(args[0]).help)
    return 0
  }
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${version()}\n`)
    return 0
  }
  const command = commandOf(name)
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(command.help)
    return 0
  }
  return command.run(args)
}

function commandOf(name: string): Command {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command !== undefined) return command
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
