import leven from 'leven'
import { InvalidOptionError } from './errors.ts'

/** What a valid value of an option looks like: for the check, and for the message when it fails. */
export interface Rule {
  readonly expects: string
  readonly accepts: (value: unknown) => boolean
}

const isNumber = (value: unknown): value is number =>
  typeof value === 'number' && !Number.isNaN(value)

/** The options that there are, by name. */
export type Rules = Readonly<Record<string, Rule>>

export const integer = (min: number, max: number = Number.MAX_SAFE_INTEGER): Rule => ({
  expects:
    max === Number.MAX_SAFE_INTEGER
      ? `an integer of at least ${min}`
      : `an integer from ${min} to ${max}`,
  accepts: (value) =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
})

export const duration = (min: number): Rule => ({
  expects: `a number of milliseconds of at least ${min} (Infinity for no limit)`,
  accepts: (value) => isNumber(value) && value >= min,
})

/** What a timer can run: Node fires a longer one at once. */
const LONGEST_TIMER = 2 ** 31 - 1

export const finiteDuration = (min: number): Rule => ({
  expects: `a finite number of milliseconds of at least ${min} and at most ${LONGEST_TIMER}`,
  accepts: (value) => isNumber(value) && value >= min && value <= LONGEST_TIMER,
})

export const bytes: Rule = {
  expects: 'a number of bytes of at least 1 (Infinity for no limit)',
  accepts: (value) => isNumber(value) && value >= 1,
}

export const oneOf = (...values: readonly string[]): Rule => ({
  expects: values.map((value) => `'${value}'`).join(' or '),
  accepts: (value) => values.includes(value as string),
})

export const text: Rule = {
  expects: 'a non-empty string',
  accepts: (value) => typeof value === 'string' && value !== '',
}
export const flag: Rule = {
  expects: 'true or false',
  accepts: (value) => typeof value === 'boolean',
}
export const list: Rule = { expects: 'an array', accepts: Array.isArray }
export const cloneables: Rule = {
  expects: 'an array of values that can be cloned',
  accepts: (value) => Array.isArray(value) && isCloneable(value),
}
export const object: Rule = {
  expects: 'an object',
  accepts: (value) => typeof value === 'object' && value !== null,
}
export const classes: Rule = {
  expects: 'a class, or an array of classes',
  accepts: (value) =>
    typeof value === 'function' ||
    (Array.isArray(value) && value.length > 0 && value.every((it) => typeof it === 'function')),
}
export const signal: Rule = {
  expects: 'an AbortSignal',
  accepts: (value) => value instanceof AbortSignal,
}

/** Checks options against their rules. Throws {@link InvalidOptionError} naming the option, its value and the way out. */
export function checkOptions(where: string, options: object, rules: Rules): void {
  for (const name in options) {
    const value: unknown = (options as Record<string, unknown>)[name]
    const rule: Partial<Rule> | undefined = rules[name]
    // What every object inherits under such a name is no rule.
    if (rule?.accepts === undefined) {
      throw new InvalidOptionError(
        name,
        `${where} has no option '${name}'${suggestion(name, Object.keys(rules))}`,
      )
    }
    if (value !== undefined && !rule.accepts(value)) {
      throw new InvalidOptionError(
        name,
        `${where}: '${name}' must be ${rule.expects}, not ${show(value)}`,
      )
    }
  }
}

const plain = (word: string): string => word.toLowerCase().replaceAll(/[_-]/g, '')

/** The known name that was probably meant. */
function suggestion(name: string, known: readonly string[]): string {
  const [nearest] = known
    .map((candidate) => ({ candidate, distance: leven(plain(name), plain(candidate)) }))
    .toSorted((a, b) => a.distance - b.distance)
  if (nearest !== undefined && nearest.distance <= Math.max(2, name.length / 3))
    return `; did you mean '${nearest.candidate}'?`
  return `; it has ${known.join(', ')}`
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`
  if (typeof value === 'object' && value !== null)
    return Array.isArray(value) ? 'an array' : 'an object'
  return typeof value === 'function' ? 'a function' : String(value)
}

function isCloneable(value: unknown): boolean {
  try {
    structuredClone(value)
    return true
  } catch {
    return false
  }
}
