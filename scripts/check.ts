// Everything that CI asks of a change, step by step. Goes on after a failure. What failed is told again at the end, since
// CI keeps no more than that; the last line is "N passed, N failed", where each test counts as one and each further step.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { TestReport } from './test-report.ts'

const steps = [
  'build',
  'lint',
  'format',
  'types',
  'imports',
  'dead-code',
  'fuzz',
  'package',
  'bench:quick',
]

/** A storm, the same one each time. How fast the flow is after it is printed: on a busy machine that proves nothing. */
const storm = ['--seconds', '30', '--kills', '100', '--seed', '1', '--no-speed']

/** How many lines of each kind are told again at the end. */
const TOLD = 15

interface Outcome {
  readonly passed: number
  readonly failed: number
  /** What is told of it at the end; nothing where nothing failed. */
  readonly told: readonly string[]
}

const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`

const indented = (line: string): string => `  ${line.slice(0, 300)}`

/** Runs a script of package.json; `shown` is what is seen of its output meanwhile. */
async function run(script: string, args: string[], shown: 'nothing' | 'all') {
  const child = spawn('npm', ['run', '--silent', script, '--', ...args], {
    stdio: ['ignore', shown === 'all' ? 'inherit' : 'pipe', 'pipe'],
    shell: process.platform === 'win32',
  })
  const closed = new Promise<boolean>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code === 0))
  })
  if (shown === 'all') child.stderr!.pipe(process.stderr, { end: false })
  const [out, error] = await Promise.all([
    child.stdout === null ? '' : text(child.stdout),
    text(child.stderr!),
  ])
  return { succeeded: await closed, printed: out + error, error }
}

async function runStep(script: string, args: string[] = []): Promise<Outcome> {
  const start = performance.now()
  const { succeeded, printed } = await run(script, args, 'nothing')
  console.log(`${succeeded ? 'ok  ' : 'FAIL'} ${script} (${seconds(start)})`)
  if (!succeeded || args.length > 0) console.log(printed.trimEnd())
  if (succeeded) return { passed: 1, failed: 0, told: [] }
  const last = printed.trimEnd().split('\n').slice(-TOLD)
  return { passed: 0, failed: 1, told: [`${script}:`, ...last.map(indented)] }
}

/** What a process said of its own death, as Node and V8 say it: reason and stack. */
const lastWords = (printed: string): string[] =>
  printed
    .split('\n')
    .filter((line) => /^# \S|FATAL ERROR|Assertion .* failed|^\s*\d+: 0x/.test(line))
    .slice(0, TOLD)

async function runTests(): Promise<Outcome> {
  const start = performance.now()
  const folder = await mkdtemp(join(tmpdir(), 'aqueduct-check-'))
  const file = join(folder, 'report.json')
  process.env['TEST_REPORT'] = file
  const reporters = ['--reporter=default', '--reporter=./scripts/test-report.ts']
  const { succeeded, error } = await run('test', reporters, 'all')
  const { passed, failures } = await readFile(file, 'utf8').then(
    (json): TestReport => JSON.parse(json),
    (): TestReport => ({ passed: 0, failures: ['vitest wrote no report'] }),
  )
  await rm(folder, { recursive: true })
  console.log(`${succeeded ? 'ok  ' : 'FAIL'} test (${seconds(start)})`)
  if (succeeded) return { passed, failed: 0, told: [] }
  const told = failures.slice(0, TOLD)
  if (failures.length > TOLD) told.push(`and ${failures.length - TOLD} more`)
  return {
    passed,
    failed: Math.max(1, failures.length),
    told: ['test:', ...told.map(indented), ...lastWords(error).map(indented)],
  }
}

const outcomes: Outcome[] = []
for (const step of steps) {
  outcomes.push(await runStep(step))
  if (step === 'build') outcomes.push(await runTests(), await runStep('chaos', storm))
}

const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0)
const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0)
if (failed > 0) {
  const told = outcomes.toReversed().flatMap((outcome) => outcome.told) // the tests, which come early, nearest to the end
  console.log(['', 'What failed:', ...told].join('\n'))
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
