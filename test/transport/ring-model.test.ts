import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'

const run = promisify(execFile)
const model = fileURLToPath(new URL('../../model/queue.pml', import.meta.url))
const MINUTE = 60_000

const isInstalled = (program: string): Promise<boolean> =>
  run(program, [program === 'spin' ? '-V' : '--version']).then(
    () => true,
    () => false,
  )
const missing: string[] = []
for (const program of ['spin', 'gcc']) if (!(await isInstalled(program))) missing.push(program)

/** Searches all states of the model; returns the verifier's report. */
async function search(definitions: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'aqueduct-model-'))
  try {
    const options = { cwd: folder, maxBuffer: 2 ** 24 }
    await run('spin', ['-a', ...definitions, model], options)
    const flags = ['-O2', '-w', '-DSAFETY', '-DCOLLAPSE', '-DMEMLIM=2000']
    await run('gcc', [...flags, '-o', 'pan', 'pan.c'], options)
    const { stdout } = await run(join(folder, 'pan'), ['-m20000', '-w22'], options)
    return stdout
  } finally {
    await rm(folder, { recursive: true })
  }
}

type Scene = readonly [name: string, definitions: readonly string[]]

describe('in the model of the queue', () => {
  test.for<Scene>([
    ['a full ring, three tasks, two workers of which one dies', []],
    ['two clients, two workers of which one dies', ['-DTASKS=2', '-DCLIENTS=2']],
    ['workers that hand over, of which one dies', ['-DTASKS=2', '-DCELLS=4', '-DHOPS=2']],
    ['two clients, one worker, a full ring', ['-DCLIENTS=2', '-DWORKERS=1', '-DDEATHS=0']],
  ])(
    '%s: every task is settled, and run once',
    { timeout: 3 * MINUTE },
    async ([, definitions], { skip }) => {
      skip(missing.length > 0, `not installed: ${missing.join(', ')}`)
      const report = await search(definitions)
      expect(report).toMatch(/errors: 0\n/)
      expect(report).not.toMatch(/max search depth too small|reached -DMEMLIM bound/)
    },
  )

  test.for<Scene>([
    ['a cell is filled before head has passed it', ['-DFILL_UNPASSED', '-DDEATHS=0']],
    ['a task is put back under its old generation', ['-DSAME_GENERATION', '-DTASKS=2']],
  ])(
    'a task is lost when %s: the model would show it',
    { timeout: 3 * MINUTE },
    async ([, definitions], { skip }) => {
      skip(missing.length > 0, `not installed: ${missing.join(', ')}`)
      expect(await search(definitions)).toMatch(/invalid end state[^]*errors: 1\n/)
    },
  )
})
