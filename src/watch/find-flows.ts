import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { socketPath } from '../transport/handshake.ts'

/** A flow of this user that has an `address`, and the process that runs it. */
export interface FoundFlow {
  readonly address: string
  readonly pid: number
}

/**
 * The flows with an `address` that run on this machine under the same user: found in the kernel's list of sockets, and
 * asked nothing.
 *
 * @param of - the process whose flows are wanted. Default: all.
 *
 * @example
 * ```ts
 * import { findFlows } from 'aqueduct-ts'
 *
 * for (const { address, pid } of findFlows()) console.log(`${address} in process ${pid}`)
 * ```
 */
export function findFlows(of?: number): FoundFlow[] {
  const sockets = listeningFlows()
  if (sockets.size === 0) return []
  const pids = of === undefined ? numbersIn('/proc') : [of]
  return pids.flatMap((pid) =>
    openSockets(pid)
      .map((inode) => sockets.get(inode))
      .filter((address) => address !== undefined)
      .map((address) => ({ address, pid })),
  )
}

/** Set in the flags of a socket that listens. */
const LISTENS = 0x10000

/** Addresses by the numbers of their sockets. */
function listeningFlows(): Map<string, string> {
  const prefix = socketPath('').replaceAll('\0', '@')
  const flows = new Map<string, string>()
  for (const line of readFileSync('/proc/net/unix', 'utf8').split('\n')) {
    const [, , , flags = '', , , inode = '', ...path] = line.trim().split(/\s+/)
    const name = path.join(' ')
    if (!name.startsWith(prefix) || (Number.parseInt(flags, 16) & LISTENS) === 0) continue
    flows.set(inode, name.slice(prefix.length))
  }
  return flows
}

const numbersIn = (folder: string): number[] =>
  readdirSync(folder)
    .map(Number)
    .filter((pid) => pid > 0)

/** Numbers of the sockets that a process has; none of one that has ended, or is another user's. */
function openSockets(pid: number): string[] {
  const folder = `/proc/${pid}/fd`
  const links = attempt(() => readdirSync(folder))?.map((fd) =>
    attempt(() => readlinkSync(`${folder}/${fd}`)),
  )
  return (links ?? []).flatMap((link) => /^socket:\[(\d+)\]$/.exec(link ?? '')?.[1] ?? [])
}

function attempt<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}
