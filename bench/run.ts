// npm run bench -- [workload] [options]: figures on standard output, what is going on on standard error. Without a
// workload all of them, into bench/report.
import { parseArgs } from 'node:util'
import { defaults, quickSettings, workloads } from './catalogue.ts'
import { machine, versions } from './harness/machine.ts'
import { type Settings, toJson, toTables } from './harness/report.ts'
import { writePage } from './report-page.ts'
import { runSuite } from './suite.ts'

const help = `Usage: npm run bench -- [workload] [options]

Without a workload: all of them, each in a process of its own, into bench/report (with --quick: bench/report/quick).

Workloads
${Object.entries(workloads)
  .map(([name, { about, takes }]) => `  ${name.padEnd(12)}${about} (${takes})`)
  .join('\n')}
  report      draws the page and the picture again from the figures in bench/report

Options
  --quick       everything once and as shortly as can be, to see that it runs: less than two minutes in all
  --json        one JSON object on standard output
  --pairs N     alternating pairs per ratio (default ${defaults.pairs})
  --seconds S   seconds per measurement (default ${defaults.seconds}; some workloads have their own)
  --tasks N     tasks of the memory workload (default ${defaults.tasks})
  --minutes M   how long the growth workload keeps a flow up (default ${defaults.minutes})
  --help        this text
`

/** The command line was not understood. */
class UsageError extends Error {}

function readCommandLine() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
        pairs: { type: 'string' },
        seconds: { type: 'string' },
        tasks: { type: 'string' },
        minutes: { type: 'string' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function readNumber(
  option: keyof Settings,
  text: string | undefined,
  whole: boolean,
): Partial<Settings> {
  if (text === undefined) return {}
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0 || (whole && !Number.isInteger(value))) {
    throw new UsageError(
      `--${option} takes a ${whole ? 'whole number from 1' : 'number above 0'}, not '${text}'`,
    )
  }
  return { [option]: value }
}

async function main(): Promise<void> {
  const { values, positionals } = readCommandLine()
  if (values.help) {
    process.stdout.write(help)
    return
  }
  const given: Partial<Settings> = {
    ...readNumber('pairs', values.pairs, true),
    ...readNumber('seconds', values.seconds, false),
    ...readNumber('tasks', values.tasks, true),
    ...readNumber('minutes', values.minutes, false),
  }
  const [name, ...rest] = positionals
  if (rest.length > 0) throw new UsageError(`one workload at a time, not also '${rest.join(' ')}'`)
  if (name === undefined) {
    process.exitCode = (await runSuite(Object.keys(workloads), process.argv.slice(2), values.quick))
      ? 0
      : 1
    return
  }
  if (name === 'report') {
    await writePage(values.quick)
    return
  }
  const workload = Object.hasOwn(workloads, name) ? workloads[name] : undefined
  if (workload === undefined) {
    const known = Object.keys(workloads).join(', ')
    throw new UsageError(`there is no workload '${name}'; there are ${known}`)
  }
  const where = machine()
  const outcome = await workload.run({
    ...defaults,
    ...workload.defaults,
    ...(values.quick ? { ...quickSettings, ...workload.quick } : {}),
    ...given,
  })
  const report = { workload: name, machine: where, versions: versions(), ...outcome }
  process.stdout.write(`${values.json ? toJson(report) : toTables(report)}\n`)
}

try {
  await main()
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}. Try --help.\n`)
    process.exitCode = 2
  } else {
    console.error(error)
    process.exit(1) // whatever still runs ends with this process
  }
}
