import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { progress } from './harness/report.ts'
import { reportFolder, writePage } from './report-page.ts'

/**
 * Runs the workloads one after another, each in a process of its own, and keeps what they found. One that breaks is told
 * of and does not keep the others from running. Resolves with whether all ran.
 */
export async function runSuite(
  names: readonly string[],
  args: readonly string[],
  quick: boolean,
): Promise<boolean> {
  const folder = reportFolder(quick)
  await mkdir(folder, { recursive: true })
  const broken: string[] = []
  const began = performance.now()
  for (const [index, name] of names.entries()) {
    const from = performance.now()
    progress(`${index + 1} of ${names.length}: ${name}, ${minutes(from - began)} so far`)
    const json = await runOne(name, args)
    if (json === undefined) broken.push(name)
    else await writeFile(join(folder, `${name}.json`), json)
    progress(
      `${name} ${json === undefined ? 'BROKE' : 'done'} after ${minutes(performance.now() - from)}`,
    )
    // After each, so that a run that is cut short leaves what it has.
    await writePage(quick)
  }
  progress(
    broken.length === 0
      ? `all of it in ${minutes(performance.now() - began)}: ${join(folder, 'index.html')}`
      : `these broke: ${broken.join(', ')}`,
  )
  return broken.length === 0
}

/** What a workload prints; undefined when it broke. */
async function runOne(name: string, args: readonly string[]): Promise<string | undefined> {
  const run = fileURLToPath(new URL('run.ts', import.meta.url))
  const child = spawn(
    process.execPath,
    [run, name, '--json', ...args.filter((arg) => arg !== '--json')],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const printed = await text(child.stdout)
  return (await exited) === 0 ? printed : undefined
}

function minutes(ms: number): string {
  const seconds = Math.round(ms / 1000)
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}
