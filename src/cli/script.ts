import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { CommandError } from './command.ts'

interface Manifest {
  readonly name?: string
  readonly scripts?: Readonly<Record<string, string>>
}

/** Runs a script of the repository, where the present folder is that; resolves with its exit code. */
export async function runScript(name: string, args: readonly string[]): Promise<number> {
  const manifest: Manifest = existsSync('package.json')
    ? (JSON.parse(readFileSync('package.json', 'utf8')) as Manifest)
    : {}
  if (manifest.name !== 'aqueduct-ts' || manifest.scripts?.[name] === undefined) {
    throw new CommandError(
      `\`${name}\` needs the repository of aqueduct-ts, and is not part of the package: clone it, \`npm ci\`, and call this there`,
    )
  }
  const child = spawn('npm', ['run', '--silent', name, '--', ...args], { stdio: 'inherit' })
  const [code] = (await once(child, 'close')) as [number | null]
  return code ?? 1
}
