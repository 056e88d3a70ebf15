import type { Command } from './command.ts'
import { runScript } from './script.ts'

export const chaos: Command = {
  help: `Usage: aqueduct chaos [options]

Kills workers and clients, fills memory and queues, and checks that every task has exactly one outcome. It runs
in the repository of aqueduct-ts, on flows of its own: the same as \`npm run chaos -- [options]\`.
`,
  run: (args) => runScript('chaos', args),
}
