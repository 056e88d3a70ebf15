// Everything that CI asks of a change, step by step. Goes on after a failure and ends with one line:
// "N passed, N failed", where each test counts as one and each further step as one.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

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

interface Outcome {
  readonly passed: number
  readonly failed: number
}

/** The counts of vitest's JSON report. */
interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
}

const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`

/** Runs a script of package.json; resolves with whether it succeeded. */
async function run(script: string, args: string[], output: 'shown' | 'kept') {
  const child = spawn('npm', ['run', '--silent', script, '--', ...args], {
    stdio: [
      'ignore',
      output === 'shown' ? 'inherit' : 'pipe',
      output === 'shown' ? 'inherit' : 'pipe',
    ],
    shell: process.platform === 'win32',
  })
  const closed = new Promise<boolean>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code === 0))
  })
  const [out, error] = await Promise.all([
    child.stdout ? text(child.stdout) : '',
    child.stderr ? text(child.stderr) : '',
  ])
  return { succeeded: await closed, printed: out + error }
}

async function runStep(script: string, args: string[] = []): Promise<Outcome> {
  const start = performance.now()
  const { succeeded, printed } = await run(script, args, 'kept')
  console.log(`${succeeded ? 'ok  ' : 'FAIL'} ${script} (${seconds(start)})`)
  if (!succeeded || args.length > 0) console.log(printed.trimEnd())
  return succeeded ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
}

async function runTests(): Promise<Outcome> {
  const start = performance.now()
  const folder = await mkdtemp(join(tmpdir(), 'aqueduct-check-'))
  const file = join(folder, 'report.json')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
  const { succeeded } = await run('test', reporters, 'shown')
  const report = await readFile(file, 'utf8').then(
    (json): Report => JSON.parse(json),
    (): Report => ({ numPassedTests: 0, numFailedTests: 0 }), // vitest itself fell over
  )
  await rm(folder, { recursive: true })
  console.log(`${succeeded ? 'ok  ' : 'FAIL'} test (${seconds(start)})`)
  // A file that does not load, an unhandled error: no test failed, and yet the suite did.
  const failed = succeeded ? report.numFailedTests : Math.max(1, report.numFailedTests)
  return { passed: report.numPassedTests, failed }
}

const outcomes: Outcome[] = []
for (const step of steps) {
  outcomes.push(await runStep(step))
  if (step === 'build') outcomes.push(await runTests(), await runStep('chaos', storm))
}

const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0)
const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
