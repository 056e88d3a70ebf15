/**
 * Puts a step counter into every atomic operation of the code under test: `Atomics` is looked up as a global there, so
 * production code needs no failpoint. An operation is "about to happen" when the hook runs; a hook that throws is a
 * death just before it, a hook that calls other code is a preemption at that point.
 */
type Hook = () => void

let hook: Hook | undefined

function announce(): void {
  const current = hook
  if (current === undefined) return
  hook = undefined // what a hook does is not counted, unless it counts by itself
  try {
    current()
  } finally {
    hook = current
  }
}

const real = globalThis.Atomics

type Operation = 'load' | 'store' | 'add' | 'sub' | 'and' | 'or' | 'exchange' | 'compareExchange'
const operations: readonly Operation[] = [
  'load',
  'store',
  'add',
  'sub',
  'and',
  'or',
  'exchange',
  'compareExchange',
]

const counted = Object.create(real) as Record<Operation, (...operands: never[]) => number>
for (const name of operations) {
  const operate = real[name] as (...operands: never[]) => number
  counted[name] = (...operands) => {
    announce()
    return operate(...operands)
  }
}
globalThis.Atomics = counted as unknown as typeof Atomics

function withHook<Result>(next: Hook, run: () => Result): Result {
  const before = hook
  hook =
    before === undefined
      ? next
      : () => {
          before()
          next()
        }
  try {
    return run()
  } finally {
    hook = before
  }
}

/** What a dead actor's code sees at every atomic operation after its death. */
class Death extends Error {}

/**
 * Runs an actor that dies just before its `step`-th atomic operation (the first is 1), and can do nothing more then,
 * whatever it catches. Returns false when it had finished by then.
 */
export function diesAt(step: number, run: () => void): boolean {
  let left = step
  try {
    withHook(() => {
      if (--left <= 0) throw new Death()
    }, run)
  } catch (error) {
    if (!(error instanceof Death) && left > 0) throw error
  }
  return left <= 0
}

/** Tries a death before each atomic operation of an actor in turn, and last of all one after it has finished. */
export function eachDeath(attempt: (die: (run: () => void) => void, step: number) => void): number {
  for (let step = 1; ; step++) {
    let died = false
    attempt((run) => {
      died = diesAt(step, run)
    }, step)
    if (!died) return step
  }
}

/** Runs `run`, and all of `intruder` just before its `step`-th atomic operation. Returns false when it never came to that. */
export function preemptedAt(step: number, intruder: () => void, run: () => void): boolean {
  let left = step
  withHook(() => {
    if (--left === 0) intruder()
  }, run)
  return left <= 0
}

/** Like {@link preemptedAt}, for an actor that goes on after a turn of the event loop; counts until it is stopped. */
export function preemptFromNowOn(step: number, intruder: () => void): { stop: () => boolean } {
  return preemptTwiceFromNowOn([step, intruder], [step, () => undefined])
}

type Preemption = readonly [step: number, intruder: () => void]

/** The same with two who come by, the second not before the first. `stop` returns whether both have. */
export function preemptTwiceFromNowOn(
  [first, intruder]: Preemption,
  [second, other]: Preemption,
): { stop: () => boolean } {
  let step = 0
  hook = () => {
    step++
    if (step === first) intruder()
    if (step === second) other()
  }
  return {
    stop: () => {
      hook = undefined
      return step >= second
    },
  }
}

/** Tries a preemption before each atomic operation of an actor in turn. Returns how many there were. */
export function eachPreemption(
  attempt: (preempted: (intruder: () => void, run: () => void) => void, step: number) => void,
): number {
  for (let step = 1; ; step++) {
    let happened = false
    attempt((intruder, run) => {
      happened = preemptedAt(step, intruder, run)
    }, step)
    if (!happened) return step - 1
  }
}
