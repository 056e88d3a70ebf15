// npm run bench:peers: installs what the benchmarks compare with, outside the tree, and says what could not be.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nodePeers, peersFolder, python } from './harness/peers.ts'

const pins = fileURLToPath(new URL('peers/', import.meta.url))
const INTERPRETERS = ['python3.13', 'python3.12', 'python3.11', 'python3']
const VERSION = 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))'

class Failure extends Error {}

function run(command: string, args: readonly string[], advice: string): void {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2] })
  if (status !== 0)
    throw new Failure(`${command}: ${error?.message ?? `exit code ${status}`}. ${advice}`)
}

function installNode(): string {
  mkdirSync(nodePeers, { recursive: true })
  for (const file of ['package.json', 'package-lock.json'])
    copyFileSync(join(pins, file), join(nodePeers, file))
  run(
    'npm',
    ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', nodePeers],
    'npm has to reach its registry',
  )
  return 'tinypool, poolifier, workerpool'
}

function installPython(): string {
  const candidates = [process.env['AQUEDUCT_BENCH_PYTHON'] ?? [], INTERPRETERS].flat()
  const interpreter = candidates.find((name) => spawnSync(name, ['-c', VERSION]).status === 0)
  if (interpreter === undefined) {
    throw new Failure(
      `there is no Python 3.11 to 3.13 among ${candidates.join(', ')}; $AQUEDUCT_BENCH_PYTHON names another`,
    )
  }
  const folder = join(peersFolder, 'python')
  rmSync(folder, { recursive: true, force: true })
  run(interpreter, ['-m', 'venv', folder], 'On Debian and Ubuntu: apt-get install python3-venv')
  const requirements = join(pins, 'requirements.txt')
  run(
    python,
    [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--only-binary',
      ':all:',
      '--no-deps',
      '-r',
      requirements,
    ],
    'pip has to reach PyPI, and to find wheels for this machine',
  )
  run(
    python,
    ['-c', 'import aqueduct, aiohttp, litserve, mosec, numpy, onnxruntime'],
    'A package does not load',
  )
  return 'aqueduct, aiohttp, onnxruntime, litserve, mosec'
}

for (const [language, install] of [
  ['Node.js', installNode],
  ['Python', installPython],
] as const) {
  try {
    process.stderr.write(`peers of ${language} into ${peersFolder} …\n`)
    process.stdout.write(`${language}: ${install()}\n`)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    process.stdout.write(`${language}: missing. ${error.message}.\n`)
    process.exitCode = 1
  }
}
