import { existsSync } from 'node:fs'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { workloads } from './catalogue.ts'
import { headline } from './charts/headline.ts'
import { figure } from './charts/format.ts'
import { drawLife } from './charts/life.ts'
import { type Section, makePage } from './charts/page.ts'
import type { Report } from './harness/report.ts'

interface Machine {
  readonly cpus: number
  readonly model: string
  readonly loadAverageBefore: number
}

/** Where the figures of a run are kept. */
export function reportFolder(quick: boolean): string {
  return fileURLToPath(new URL(quick ? 'report/quick/' : 'report/', import.meta.url))
}

/** Makes the page, the index and the picture for the README of the figures that lie in the folder. */
export async function writePage(quick: boolean): Promise<void> {
  const folder = reportFolder(quick)
  await mkdir(folder, { recursive: true })
  const sections: Section[] = []
  for (const [name, workload] of Object.entries(workloads)) {
    const file = join(folder, `${name}.json`)
    if (!existsSync(file)) continue
    const report = JSON.parse(await readFile(file, 'utf8')) as Report
    sections.push({ report, workload, at: (await stat(file)).mtime })
  }
  await writeFile(join(folder, 'index.html'), makePage(sections, quick))
  const index = sections.map(({ report: { workload, goals = [], missing = [] }, at }) => ({
    workload,
    file: `${workload}.json`,
    measuredAt: at.toISOString(),
    goals,
    missing,
  }))
  await writeFile(join(folder, 'index.json'), `${JSON.stringify(index, undefined, 2)}\n`)
  await headline(sections, folder)
  const life = sections.find(({ report }) => report.workload === 'life')
  if (life === undefined) return
  const { machine, versions, results } = life.report
  const { cpus, model, loadAverageBefore } = machine as Machine
  const { node } = versions as { readonly node: string }
  const footer = `Medians. ${cpus} cores of ${model}, Node.js ${node}, load before ${figure(loadAverageBefore)}. npm run bench -- life`
  await writeFile(join(folder, 'task-life.svg'), drawLife(results, footer))
}
