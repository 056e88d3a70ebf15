import { readFileSync } from 'node:fs'

/**
 * Memory of a process that is its own, in bytes: neither files that it has mapped nor shared memory. 0 when there is no
 * such process.
 */
export function residentAnonBytes(pid: number): number {
  try {
    const match = /^RssAnon:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
    return Number(match?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}
