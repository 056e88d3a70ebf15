import { type ChaosOptions, chaosDefaults } from '../chaos/chaos-options.ts'
import { ProgressLine } from '../chaos/progress-line.ts'
import { type ChaosReport, LEAST_SHARE, brokenInvariants } from '../chaos/report.ts'
import { runChaos } from '../chaos/run-chaos.ts'
import type { ChaosService } from '../chaos/service.ts'
import { toTable } from '../chaos/table.ts'
import { AqueductError } from '../index.ts'
import { loadService } from './chaos-service.ts'
import { type Arguments, type Command, CommandError, UsageError, readArguments } from './command.ts'

const { seconds, kills, inFlight, grace } = chaosDefaults

const numbers = {
  seconds: 'seconds',
  kills: 'kills',
  'guest-kills': 'guestKills',
  deadly: 'deadly',
  hanging: 'hanging',
  'in-flight': 'inFlight',
  grace: 'grace',
  seed: 'seed',
} as const satisfies Record<string, keyof ChaosOptions>

export const chaos: Command = {
  help: `Usage: aqueduct chaos [options]

Kills workers of a flow while it works, and looks whether every task has exactly one outcome, every result is right,
and all memory comes back.

  --flow <file>      a module with your own flow: it exports \`flow\`, \`makeTask(random)\` and, if it likes,
                     \`verify(task)\`; without it a service of three steps is used
  --seconds <s>      what all of it takes, about (default ${seconds})
  --kills <n>        workers that are killed, at any moment (default ${kills})
  --guest-kills <n>  clients in other processes that are killed (default a twentieth; not of your own flow)
  --deadly <n>       tasks that end their worker (default a twentieth; of your own flow only with
                     \`makeHarmful\`)
  --hanging <n>      tasks that never return (default a fortieth; the same)
  --in-flight <n>    tasks that are under way at any time (default ${inFlight})
  --grace <s>        seconds without any outcome after which what is pending is lost (default ${grace})
  --seed <n>         repeats the tasks, kills and harm of another run, though not how they interleave
  --no-speed         a throughput below ${LEAST_SHARE} of that before the storm breaks no invariant
  --json             one JSON object on standard output, instead of a table

Exit code: 0, everything held; 1, an invariant is broken, and standard error names it; 2, the command line is wrong.
`,
  async run(args) {
    const given = readArguments(
      args,
      {
        ...Object.fromEntries(Object.keys(numbers).map((name) => [name, { type: 'string' }])),
        flow: { type: 'string' },
        'no-speed': { type: 'boolean' },
        json: { type: 'boolean' },
      },
      { most: 0 },
    )
    const options = optionsOf(given)
    const file = given.text('flow')
    const isForPeople = !given.flag('json')
    try {
      const service = file === undefined ? undefined : await loadService(file)
      const report = await storm(options, service, isForPeople)
      const broken = brokenInvariants(report, { speed: !given.flag('no-speed') })
      const printed = isForPeople
        ? toTable(report)
        : JSON.stringify({ ...report, brokenInvariants: broken }, undefined, 2)
      process.stdout.write(`${printed}\n`)
      for (const invariant of broken) process.stderr.write(`broken: ${invariant}\n`)
      return broken.length === 0 ? 0 : 1
    } catch (error) {
      if (AqueductError.is(error, 'AQ_INVALID_OPTION')) throw new UsageError(error.message)
      if (AqueductError.is(error)) throw new CommandError(error.message)
      throw error
    }
  },
}

function optionsOf(given: Arguments): ChaosOptions {
  const options: Record<string, number> = {}
  for (const [name, option] of Object.entries(numbers)) {
    const text = given.text(name)
    if (text === undefined) continue
    const value = Number(text)
    if (text.trim() === '' || !Number.isFinite(value))
      throw new UsageError(`--${name} takes a number, not '${text}'`)
    options[option] = value
  }
  return options
}

/** A storm that Ctrl-C ends, with a line of progress where a person looks on. */
async function storm(
  options: ChaosOptions,
  service: ChaosService | undefined,
  isForPeople: boolean,
): Promise<ChaosReport> {
  const line = isForPeople && process.stderr.isTTY ? new ProgressLine(process.stderr) : undefined
  const interrupt = new AbortController()
  const onInterrupt = (): void => interrupt.abort(new CommandError('interrupted'))
  process.once('SIGINT', onInterrupt)
  try {
    return await runChaos(
      { ...options, signal: interrupt.signal, onProgress: (progress) => line?.show(progress) },
      service,
    )
  } finally {
    process.off('SIGINT', onInterrupt)
    line?.clear()
  }
}
