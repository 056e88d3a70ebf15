/** One operation of an actor: done on a copy of the reference, it says what it must have returned. */
export interface Observed<Model> {
  readonly name: string
  readonly apply: (model: Model) => unknown
  readonly returned: unknown
}

/**
 * Whether operations that overlapped behaved like some order of whole operations. `threads` are sequences that keep
 * their own order; `accept` looks at the model when all are done.
 */
export function isLinearizable<Model>(
  model: Model,
  copy: (model: Model) => Model,
  threads: readonly (readonly Observed<Model>[])[],
  accept: (model: Model) => boolean,
): boolean {
  if (threads.every((thread) => thread.length === 0)) return accept(model)
  return threads.some((thread, index) => {
    const [first, ...rest] = thread
    if (first === undefined) return false
    const next = copy(model)
    if (!Object.is(first.apply(next), first.returned)) return false
    return isLinearizable(next, copy, threads.with(index, rest), accept)
  })
}
