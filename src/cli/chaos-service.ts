import type { ChaosService } from '../chaos/service.ts'
import { Flow } from '../index.ts'
import { CommandError } from './command.ts'
import { type Exports, importModule } from './module.ts'

const optional = ['verify', 'makeHarmful', 'workersOf'] as const

/** Loads the service that a module exports. @throws UsageError, CommandError */
export async function loadService(file: string): Promise<ChaosService> {
  const exported = serviceOf(await importModule(file))
  const { flow, makeTask } = exported
  if (!(flow instanceof Flow) && typeof flow !== 'function') {
    throw new CommandError(
      `${file} must export \`flow\`, a Flow of this library or a function that makes one`,
    )
  }
  if (typeof makeTask !== 'function')
    throw new CommandError(`${file} must export \`makeTask\`, a function (random) => task`)
  for (const name of optional) {
    if (exported[name] !== undefined && typeof exported[name] !== 'function')
      throw new CommandError(`${file}: \`${name}\` must be a function`)
  }
  return exported as unknown as ChaosService
}

/** All by name; all in an object by default; or all but the flow by name and that by default, as for `aqueduct run`. */
function serviceOf(exports: Exports): Exports {
  const { default: value } = exports
  if (value instanceof Flow) return { ...exports, flow: value }
  return 'flow' in exports ? exports : ((value ?? {}) as Exports)
}
