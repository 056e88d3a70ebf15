import type { Control } from '../transport/control.ts'
import type { Admission } from './admission.ts'
import type { Slots } from './slots.ts'

/**
 * A worker may lack the memory to hand its task over while all of it is held by tasks that wait for that very worker. None
 * of them has been started, and their callers still have what they were made of: this client takes its own back, those of
 * the lowest priority that came last first, until the worker has what it needs, and admits them again after that. Those that
 * hold memory which comes back only when they are done stay: they are admitted before all others. True when it took any.
 */
export function recall(control: Control, slots: Slots, admission: Admission): boolean {
  const most = control.needs.mostInUse()
  if (most === Infinity || control.blocks.pagesInUse() <= most) return false
  const others = [...slots.unsettled()].filter(({ holdsMemory }) => !holdsMemory)
  const pending = others.toSorted(
    (a, b) => a.priority - b.priority || b.submittedAt - a.submittedAt,
  )
  let hasRecalled = false
  for (const each of pending) {
    if (control.blocks.pagesInUse() <= most) break
    if (!slots.recall(each)) continue
    admission.takeBack(each)
    hasRecalled = true
  }
  return hasRecalled
}
