import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

const isInstalled = (program: string): Promise<boolean> =>
  run(program, [program === 'spin' ? '-V' : '--version']).then(
    () => true,
    () => false,
  )

/** What a search needs and this machine does not have. */
export async function missingForSearch(): Promise<string[]> {
  const missing: string[] = []
  for (const program of ['spin', 'gcc']) if (!(await isInstalled(program))) missing.push(program)
  return missing
}

/** Searches all states of a model; returns the verifier's report. */
export async function search(model: string, definitions: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'aqueduct-model-'))
  const file = fileURLToPath(new URL(`../../model/${model}.pml`, import.meta.url))
  try {
    const options = { cwd: folder, maxBuffer: 2 ** 24 }
    await run('spin', ['-a', ...definitions, file], options)
    const flags = ['-O2', '-w', '-DSAFETY', '-DCOLLAPSE', '-DMEMLIM=2000']
    await run('gcc', [...flags, '-o', 'pan', 'pan.c'], options)
    const { stdout } = await run(join(folder, 'pan'), ['-m20000', '-w22'], options)
    return stdout
  } finally {
    await rm(folder, { recursive: true })
  }
}
