import { parseArgs } from 'node:util'
import { AqueductError } from '../index.ts'
import { type ChaosOptions, chaosDefaults } from './chaos-options.ts'
import { ServiceError, loadService } from './load-service.ts'
import { ProgressLine } from './progress-line.ts'
import { type ChaosReport, LEAST_SHARE, brokenInvariants } from './report.ts'
import { runChaos } from './run-chaos.ts'
import { toTable } from './table.ts'

const { seconds, kills, inFlight, grace } = chaosDefaults

const help = `Kills workers of a service while it works, and looks whether everything that must hold does.

Options
  --flow FILE     a module with your own flow; without it a service of three steps is used
  --seconds S     what all of it takes, about (default ${seconds})
  --kills N       workers that are killed, at any moment (default ${kills})
  --guest-kills N clients in other processes that are killed (default a twentieth; not of your own flow)
  --deadly N      tasks that end their worker (default a twentieth; not of your own flow)
  --hanging N     tasks that never return (default a fortieth; not of your own flow)
  --in-flight N   tasks that are under way at any time (default ${inFlight})
  --grace S       seconds without any outcome after which what is pending is lost (default ${grace})
  --seed N        repeats the tasks, kills and harm of another run, though not how they interleave
  --no-speed      a throughput below ${LEAST_SHARE} of that before the storm breaks no invariant
  --json          one JSON object on standard output, instead of a table
  --help          this text

Exit code: 0, everything held; 1, an invariant is broken; 2, the command line was not understood.
`

/** The command line was not understood. */
class UsageError extends Error {}

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

function readCommandLine(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        ...({
          seconds: { type: 'string' },
          kills: { type: 'string' },
          'guest-kills': { type: 'string' },
          deadly: { type: 'string' },
          hanging: { type: 'string' },
          'in-flight': { type: 'string' },
          grace: { type: 'string' },
          seed: { type: 'string' },
        } as const satisfies Record<keyof typeof numbers, { type: 'string' }>),
        flow: { type: 'string' },
        'no-speed': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function readNumbers(values: ReturnType<typeof readCommandLine>): ChaosOptions {
  const given: Record<string, number> = {}
  for (const [option, name] of Object.entries(numbers)) {
    const text = values[option as keyof typeof numbers]
    if (text === undefined) continue
    const value = Number(text)
    if (text.trim() === '' || !Number.isFinite(value))
      throw new UsageError(`--${option} takes a number, not '${text}'`)
    given[name] = value
  }
  return given
}

/**
 * The command line of storms: `args` are those after the program's name. Prints the report, or what is wrong, and
 * resolves with the exit code.
 */
export async function chaosCommand(args: readonly string[]): Promise<number> {
  try {
    const values = readCommandLine(args)
    if (values.help) {
      process.stdout.write(help)
      return 0
    }
    const options = readNumbers(values)
    const service = values.flow === undefined ? undefined : await loadService(values.flow)
    const report = await storm(options, service, !values.json)
    const broken = brokenInvariants(report, { speed: !values['no-speed'] })
    const printed = values.json
      ? JSON.stringify({ ...report, brokenInvariants: broken }, undefined, 2)
      : toTable(report)
    process.stdout.write(`${printed}\n`)
    for (const invariant of broken) process.stderr.write(`broken: ${invariant}\n`)
    return broken.length === 0 ? 0 : 1
  } catch (error) {
    const isUsage =
      error instanceof UsageError ||
      error instanceof ServiceError ||
      AqueductError.is(error, 'AQ_INVALID_OPTION')
    if (!isUsage) throw error
    process.stderr.write(`${error.message}. Try --help.\n`)
    return 2
  }
}

/** A storm that Ctrl-C ends, with a line of progress where a person looks on. */
async function storm(
  options: ChaosOptions,
  service: Awaited<ReturnType<typeof loadService>> | undefined,
  isForPeople: boolean,
): Promise<ChaosReport> {
  const line = isForPeople && process.stderr.isTTY ? new ProgressLine(process.stderr) : undefined
  const interrupt = new AbortController()
  const onInterrupt = (): void => interrupt.abort(new UsageError('interrupted'))
  process.once('SIGINT', onInterrupt)
  try {
    return await runChaos(
      {
        ...options,
        signal: interrupt.signal,
        onProgress: (progress) => line?.show(progress),
      },
      service,
    )
  } finally {
    process.off('SIGINT', onInterrupt)
    line?.clear()
  }
}
