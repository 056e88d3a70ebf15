import type { Command } from './command.ts'
import { runScript } from './script.ts'

export const bench: Command = {
  help: `Usage: aqueduct bench <workload> [options]

Measures in alternating pairs, and says how sure it is. It runs in the repository of aqueduct-ts, where the
workloads are: the same as \`npm run bench -- <workload> [options]\`. \`aqueduct bench -- --help\` lists them.
`,
  run: (args) => runScript('bench', args[0] === '--' ? args.slice(1) : args),
}
