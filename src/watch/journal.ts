import type { LogLevel } from '../transport/protocol.ts'

/** Something that happened to the flow, in words. */
export interface FlowEvent {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly level: LogLevel
  readonly message: string
}

/** An error that a handler threw or a worker died of, with all of the same kind since. */
export interface FlowProblem {
  /** Milliseconds since 1970 at which it occurred last. */
  readonly at: number
  readonly firstAt: number
  /** How often it was told. A worker that fails many tasks a second tells of some only: the step's `failed` counts all. */
  readonly times: number
  readonly message: string
  /** Stack of the error, and of its causes. */
  readonly stack: string | undefined
  readonly step: string | undefined
  /** Index of the worker where it occurred last. */
  readonly worker: number | undefined
  readonly pid: number | undefined
}

const MOST_EVENTS = 100
const MOST_PROBLEMS = 50
const MOST_CAUSES = 5
const LONGEST_STACK = 8_000 // characters
const LONGEST_MESSAGE = 500

/** What a flow remembers of what happened to it: the last events, and the last kinds of problems. */
export class Journal {
  #events: FlowEvent[] = []
  /** The latest last. */
  readonly #problems = new Map<string, FlowProblem>()

  /** The latest first. */
  get events(): readonly FlowEvent[] {
    return this.#events.toReversed()
  }

  /** The latest first. */
  get problems(): readonly FlowProblem[] {
    return [...this.#problems.values()].toReversed()
  }

  event(level: LogLevel, message: string): void {
    this.#events = [
      ...this.#events.slice(1 - MOST_EVENTS),
      { at: Date.now(), level, message: shortened(message, LONGEST_MESSAGE) },
    ]
  }

  /** A record with an error, or a warning. */
  problem(data: object, message: string): void {
    const { err, step, worker, pid } = data as Readonly<Record<string, unknown>>
    const stack = err instanceof Error ? shortened(stackOf(err), LONGEST_STACK) : undefined
    const text = shortened(message, LONGEST_MESSAGE)
    // Of the same kind is what was thrown at the same place with the same words, whatever the numbers in them.
    const kind = `${textOf(step)}\n${text.replaceAll(/\d+/g, '#')}\n${stack?.split('\n').find((line) => /^\s+at /.test(line))}`
    const before = this.#problems.get(kind)
    const at = Date.now()
    this.#problems.delete(kind)
    this.#problems.set(kind, {
      at,
      firstAt: before?.firstAt ?? at,
      times: (before?.times ?? 0) + 1,
      message: text,
      stack,
      step: textOf(step),
      worker: numberOf(worker),
      pid: numberOf(pid),
    })
    if (this.#problems.size > MOST_PROBLEMS) {
      const [eldest] = this.#problems.keys()
      this.#problems.delete(eldest!)
    }
  }
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : undefined

const numberOf = (value: unknown): number | undefined =>
  typeof value === 'number' ? value : undefined

const shortened = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length)} …`

/** The stack of an error, then those of its causes. */
function stackOf(error: Error): string {
  const stacks: string[] = []
  let thrown: unknown = error
  while (thrown instanceof Error && stacks.length < MOST_CAUSES) {
    stacks.push(String(thrown.stack ?? thrown))
    thrown = thrown.cause
  }
  return stacks.join('\ncaused by ')
}
