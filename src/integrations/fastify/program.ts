/** An application that lives in this program. */
export interface Member {
  /** Closes it. Settles in any case once its time is over. */
  readonly close: () => PromiseLike<unknown>
  /** Milliseconds that closing may take. */
  readonly closeTimeout: number
  /** Told why it could not be closed cleanly. */
  readonly onError: (error: unknown) => void
}

/** Milliseconds, beyond those that closing may take, after which the program ends whatever still goes on. */
const GRACE = 5_000

// A program ends as a whole, so that an application that is done does not cut off another one that drains.
const members = new Set<Member>()
let ending: Promise<void> | undefined

const onSignal = (): void => void endProgram(0)

/**
 * Makes an application part of the program's end, and lets signals end the program.
 *
 * @returns takes it out again, when it is closed.
 */
export function joinProgram(member: Member, signals: readonly NodeJS.Signals[]): () => void {
  members.add(member)
  for (const signal of signals) process.on(signal, onSignal)
  return () => {
    members.delete(member)
    // A Ctrl-C may come twice, as under npm: the second one would end the program before it is done.
    if (ending === undefined) for (const signal of signals) process.off(signal, onSignal)
  }
}

/** Closes all applications and ends the program: its workers end with it. */
export function endProgram(code: number): Promise<void> {
  return (ending ??= end(code))
}

async function end(code: number): Promise<void> {
  const longest = Math.max(...[...members].map(({ closeTimeout }) => closeTimeout))
  setTimeout(() => process.exit(code === 0 ? 1 : code), longest + GRACE).unref()
  let exitCode = code
  await Promise.all(
    [...members].map(async ({ close, onError }) => {
      try {
        await close()
      } catch (error) {
        onError(error)
        exitCode ||= 1
      }
    }),
  )
  process.exit(exitCode)
}
