/** Tasks whose handler has thrown. */
export interface Failed<Task> {
  readonly tasks: readonly Task[]
  readonly error: unknown
  /** Whether there were others among them, which are settled by now and may have been the culprits. */
  readonly hasShrunk?: boolean
  /** Whether they must not be handled again. */
  readonly isFinal?: boolean
}

/** How often a handler may be called again for a batch of `size` that has thrown. */
const furtherCalls = (size: number): number => 2 * Math.ceil(Math.log2(size)) + 1

/**
 * Halves a batch that has thrown until the culprit stands alone. After 2·log₂(n) + 1 further calls what has not succeeded
 * is given up, so that a flood of bad tasks is not amplified; for one culprit 2·log₂(n) are enough. The one that is left
 * goes into the call for those whose fellows have been settled meanwhile: they are tried as they are before they are
 * halved.
 *
 * @param attempt - has tasks handled once more, settles those that succeed and returns those that fail
 * @param giveUp - settles tasks with their error
 */
export async function split<Task, Group extends Failed<Task>>(
  batch: Group,
  attempt: (tasks: readonly Task[]) => Promise<Group | undefined>,
  giveUp: (group: Group) => void,
): Promise<void> {
  let calls = furtherCalls(batch.tasks.length)
  const failing = [batch]
  for (let group = failing.pop(); group !== undefined; group = failing.pop()) {
    const parts = partsOf(group)
    if (parts.length === 0 || calls === 0) {
      giveUp(group)
      continue
    }
    const bad: Group[] = []
    for (const tasks of parts) {
      const failed = calls > 0 ? await attempt(tasks) : { ...group, tasks }
      calls = Math.max(0, calls - 1)
      if (failed !== undefined) bad.push(failed)
    }
    failing.push(...bad.toReversed())
  }
}

/** How a group is tried again; not at all if it is one culprit. */
function partsOf<Task>({ tasks, hasShrunk, isFinal }: Failed<Task>): readonly (readonly Task[])[] {
  if (isFinal === true) return []
  if (hasShrunk === true) return [tasks]
  if (tasks.length === 1) return []
  const middle = Math.ceil(tasks.length / 2)
  return [tasks.slice(0, middle), tasks.slice(middle)]
}
