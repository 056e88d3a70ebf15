// dependency-cruiser parses with TypeScript's compiler API and looks it up by the bare name
// `typescript`. The repository's own `typescript` has no such API, so inside this process the name
// leads to the older one that this folder depends on.
import { createRequire, registerHooks } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(import.meta.url)
const names = ['typescript', 'typescript/package.json']
const urls = new Map(names.map((name) => [name, pathToFileURL(require.resolve(name)).href]))

registerHooks({
  resolve(specifier, context, next) {
    const url = urls.get(specifier)
    return url === undefined ? next(specifier, context) : { url, shortCircuit: true }
  },
})
