// npm run bench -- <workload> [options]: figures on standard output, what is going on on standard error.
import { parseArgs } from 'node:util'
import { machine, versions } from './harness/machine.ts'
import { type Outcome, type Settings, toJson, toTables } from './harness/report.ts'
import { cluster } from './workloads/cluster.ts'
import { dashboard } from './workloads/dashboard.ts'
import { dispatch } from './workloads/dispatch.ts'
import { idle } from './workloads/idle.ts'
import { memory } from './workloads/memory.ts'
import { overload } from './workloads/overload.ts'
import { payload } from './workloads/payload.ts'
import { soak } from './workloads/soak.ts'
import { upload } from './workloads/upload.ts'

interface Workload {
  readonly about: string
  readonly defaults: Settings
  run(settings: Settings): Promise<Outcome>
}

const defaults: Settings = { pairs: 9, seconds: 1, tasks: 20_000 }

const workloads: Readonly<Record<string, Workload>> = {
  dispatch: {
    about: 'small tasks through one worker, against piscina in the best of its modes',
    defaults,
    run: dispatch,
  },
  payload: {
    about: 'what a 14.7 MB frame costs: handed over once more, and placed at all',
    defaults,
    run: payload,
  },
  idle: {
    about: 'processor time of a flow that has nothing to do',
    defaults: { ...defaults, seconds: 10 },
    run: idle,
  },
  memory: {
    about: '20,000 results of 1 MiB that the caller drops: waits, blocks and resident memory',
    defaults,
    run: memory,
  },
  cluster: {
    about: 'one flow with one and with two web processes, and one of them killed',
    defaults,
    run: cluster,
  },
  overload: {
    about: 'answers in time at four times the capacity, against a pool without bounds',
    defaults: { ...defaults, pairs: 5, seconds: 6 },
    run: overload,
  },
  soak: {
    about: 'bodies of mixed sizes in an arena that is hardly large enough: waits, refusals, wedges',
    defaults: { ...defaults, seconds: 300 },
    run: soak,
  },
  dashboard: {
    about: 'what a task costs while two browsers watch the dashboard, and without one',
    defaults: { ...defaults, seconds: 3 },
    run: dashboard,
  },
  upload: {
    about: 'memory of a web process that takes large bodies, against a route that buffers them',
    defaults: { ...defaults, pairs: 3 },
    run: upload,
  },
}

const help = `Usage: npm run bench -- <workload> [options]

Workloads
${Object.entries(workloads)
  .map(([name, { about }]) => `  ${name.padEnd(10)}${about}`)
  .join('\n')}

Options
  --json        one JSON object on standard output
  --pairs N     alternating pairs per ratio (dispatch, payload, cluster, dashboard: ${defaults.pairs}; upload: ${workloads['upload']!.defaults.pairs})
  --seconds S   seconds per measurement (default ${defaults.seconds}; idle ${workloads['idle']!.defaults.seconds}, dashboard ${workloads['dashboard']!.defaults.seconds}, overload ${workloads['overload']!.defaults.seconds}, soak ${workloads['soak']!.defaults.seconds}; memory and upload have none)
  --tasks N     tasks of the memory workload (default ${defaults.tasks})
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
        help: { type: 'boolean', default: false },
        pairs: { type: 'string' },
        seconds: { type: 'string' },
        tasks: { type: 'string' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function readNumber(option: string, text: string | undefined, whole: boolean): object {
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
  const [name, ...rest] = positionals
  const known = Object.keys(workloads).join(', ')
  if (name === undefined) throw new UsageError(`which workload? There are ${known}`)
  const workload = Object.hasOwn(workloads, name) ? workloads[name] : undefined
  if (workload === undefined)
    throw new UsageError(`there is no workload '${name}'; there are ${known}`)
  if (rest.length > 0) throw new UsageError(`one workload at a time, not also '${rest.join(' ')}'`)
  const settings: Settings = {
    ...workload.defaults,
    ...readNumber('pairs', values.pairs, true),
    ...readNumber('seconds', values.seconds, false),
    ...readNumber('tasks', values.tasks, true),
  }
  const where = machine()
  const outcome = await workload.run(settings)
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
    process.exitCode = 1
  }
}
