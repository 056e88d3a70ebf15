import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import { CommandError, UsageError } from './command.ts'

export type Exports = Readonly<Record<string, unknown>>

/** Loads a module of the user's. @throws UsageError, CommandError */
export async function importModule(file: string): Promise<Exports> {
  const path = resolve(file)
  if (!existsSync(path)) throw new UsageError(`there is no file ${file}`)
  try {
    return (await import(pathToFileURL(path).href)) as Exports
  } catch (error) {
    // It is the module's own: its author needs to see where it was thrown, and nothing of Node's inside.
    const where = inspect(error).replaceAll(/\n +at .*\bnode:internal\/.*/g, '')
    throw new CommandError(`${file} cannot be loaded\n${where}`)
  }
}
