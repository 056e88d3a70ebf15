import { unserializable, type CodecError } from './codec-error.ts'
import { maxDepth } from './codec-format.ts'

/** How to write a step of a path: it depends on the container that the step leads into. */
type PathStyle = 'property' | 'index' | 'entry' | 'member'

const longestKey = 60
/** A longer path, most likely a cycle, is shown by its ends. */
const longestPath = 12
const shownAtEachEnd = 4
const noKey = -1

/** Writes a path as JavaScript would: `task.users[3]["first name"]`. */
function formatPath(keys: readonly (string | number)[], styles: readonly PathStyle[]): string {
  const steps = keys.map((key, depth) => (key === noKey ? '' : formatStep(key, styles[depth]!)))
  if (steps.length > longestPath)
    steps.splice(shownAtEachEnd, steps.length - 2 * shownAtEachEnd, '…')
  return `task${steps.join('')}`
}

function formatStep(key: string | number, style: PathStyle): string {
  switch (style) {
    case 'index':
      return `[${key}]`
    case 'member':
      return `.values()[${key}]`
    case 'entry': // keys and values alternate
      return Number(key) % 2 === 0
        ? `.keys()[${Number(key) / 2}]`
        : `.values()[${(Number(key) - 1) / 2}]`
    case 'property': {
      const name = String(key)
      if (name.length <= longestKey && /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name))
        return `.${name}`
      const shown = name.length > longestKey ? `${name.slice(0, longestKey)}…` : name
      return `[${JSON.stringify(shown)}]`
    }
    default:
      return style satisfies never
  }
}

/**
 * The way from the task to the value being written, for errors, and the bound on its depth. The
 * writer sets the key of each step as it goes: a store for each value, no string is built.
 */
export class ValuePath {
  readonly keys: (string | number)[] = []
  readonly #styles: PathStyle[] = []
  #depth = 0

  reset(): void {
    this.#depth = 0
  }

  /** Goes into a container. Returns its depth, at which `keys` takes the keys of its values. */
  enter(style: PathStyle): number {
    const depth = this.#depth
    if (depth >= maxDepth)
      throw this.refusal(
        `is nested deeper than ${maxDepth} levels, or contains itself`,
        'Send a flat form, with ids in place of references.',
      )
    this.#styles[depth] = style
    this.keys[depth] = noKey
    this.#depth = depth + 1
    return depth
  }

  /** Goes out of the container at `depth`. */
  leave(depth: number): void {
    this.#depth = depth
  }

  /** An error about the value that the path leads to now. */
  refusal(what: string, wayOut: string, cause?: unknown): CodecError {
    const depth = this.#depth
    const path = formatPath(this.keys.slice(0, depth), this.#styles.slice(0, depth))
    return unserializable(path, what, wayOut, cause)
  }
}
