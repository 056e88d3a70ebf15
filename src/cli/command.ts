import { type ParseArgsConfig, parseArgs } from 'node:util'
import leven from 'leven'

/** A mistake of the user: told in one line, with exit code 2. */
export class UsageError extends Error {}

/** Something that could not be done, for a reason that the user understands: told in one line, with exit code 1. */
export class CommandError extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>

/** A command of `aqueduct`. */
export interface Command {
  readonly help: string
  /** Resolves with the exit code once there is nothing left to do; undefined while the program goes on by itself. */
  run(args: readonly string[]): Promise<number | undefined>
}

export interface Arguments {
  readonly positionals: readonly string[]
  text(name: string): string | undefined
  flag(name: string): boolean
}

/** The name that was probably meant. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const [best] = known
    .map((candidate) => ({ candidate, distance: leven(name, candidate) }))
    .toSorted((a, b) => a.distance - b.distance)
  return best !== undefined && best.distance <= Math.max(2, name.length / 3)
    ? best.candidate
    : undefined
}

/** What was given to a command. @throws UsageError */
export function readArguments(
  args: readonly string[],
  options: Options,
  positionals: { readonly most: number },
): Arguments {
  const known = Object.keys(options)
  for (const argument of args) {
    if (argument === '--') break
    const [, name] = /^--([^=]+)/.exec(argument) ?? []
    if (name === undefined || known.includes(name)) continue
    const meant = nearest(name, known)
    throw new UsageError(
      `there is no option --${name}${meant === undefined ? '' : `; did you mean --${meant}?`}`,
    )
  }
  try {
    const { values, positionals: given } = parseArgs({
      args: [...args],
      options,
      allowPositionals: true,
    })
    if (given.length > positionals.most)
      throw new UsageError(`what is '${given[positionals.most]}' for?`)
    return {
      positionals: given,
      text: (name) => (typeof values[name] === 'string' ? values[name] : undefined),
      flag: (name) => values[name] === true,
    }
  } catch (error) {
    // Node's own words, without its advice on what to type in its place.
    throw error instanceof UsageError
      ? error
      : new UsageError((error as Error).message.replace(/\. .*/s, ''))
  }
}

/** A number among the options. @throws UsageError */
export function numberOf(
  given: Arguments,
  name: string,
  otherwise: number,
  { least, most }: { readonly least: number; readonly most: number },
): number {
  const text = given.text(name)
  if (text === undefined) return otherwise
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most)
    throw new UsageError(`--${name} is a whole number from ${least} to ${most}, not '${text}'`)
  return value
}
