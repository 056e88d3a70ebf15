import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Where `npm run bench:peers` installs what the library itself does not need: outside the tree. */
export const peersFolder: string =
  process.env['AQUEDUCT_BENCH_PEERS'] ??
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'aqueduct-bench')

/** The interpreter of the Python peers. */
export const python: string = join(peersFolder, 'python', 'bin', 'python')

/** The folder that holds the Node.js peers' `node_modules`. */
export const nodePeers: string = join(peersFolder, 'node')

/** Networks that a script makes. */
export const modelsFolder: string = join(peersFolder, 'models')

/** A peer that was not measured, and why. */
export interface Missing {
  readonly name: string
  readonly reason: string
}

const INSTALL = 'not installed: npm run bench:peers'

/** Why a package of Node.js cannot be measured; undefined where it can. */
export function missingPackage(name: string): string | undefined {
  return existsSync(join(nodePeers, 'node_modules', name)) ? undefined : INSTALL
}

/** Why the peers of Python cannot be measured; undefined where they can. */
export function missingPython(): string | undefined {
  return existsSync(python) ? undefined : INSTALL
}

/** Loads a Node.js peer from where it is installed. */
export function loadPeer(name: string): unknown {
  return createRequire(join(nodePeers, 'package.json'))(name)
}
