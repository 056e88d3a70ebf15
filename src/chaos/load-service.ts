import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Flow } from '../index.ts'
import type { ChaosService } from './service.ts'

/** A module is not what `--flow` needs; `cause` is why it could not be loaded. */
export class ServiceError extends Error {}

const optional = ['verify', 'makeHarmful', 'workersOf'] as const

/** Loads the service that a module exports. */
export async function loadService(file: string): Promise<ChaosService> {
  let module: { readonly default?: unknown }
  try {
    module = (await import(pathToFileURL(resolve(file)).href)) as typeof module
  } catch (error) {
    throw new ServiceError(`cannot load ${file}: ${String(error)}`, { cause: error })
  }
  const exported = ('flow' in module ? module : (module.default ?? module)) as Record<
    string,
    unknown
  >
  const { flow, makeTask } = exported
  if (!(flow instanceof Flow) && typeof flow !== 'function') {
    throw new ServiceError(
      `${file} must export \`flow\`, a Flow of this library or a function that makes one`,
    )
  }
  if (typeof makeTask !== 'function')
    throw new ServiceError(`${file} must export \`makeTask\`, a function (random) => task`)
  for (const name of optional) {
    if (exported[name] !== undefined && typeof exported[name] !== 'function')
      throw new ServiceError(`${file}: \`${name}\` must be a function`)
  }
  return exported as unknown as ChaosService
}
