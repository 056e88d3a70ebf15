import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'

/** Where the figures were taken. */
export function machine(): object {
  return {
    cpus: availableParallelism(),
    model: cpus()[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    kernel: `${process.platform} ${release()}`,
    architecture: process.arch,
    // Others at work on the machine make figures worse and spreads wider.
    loadAverageBefore: loadavg()[0],
  }
}

/** What was measured. */
export function versions(): object {
  const { node, v8 } = process.versions
  const packages = ['aqueduct-ts', 'piscina', 'koffi']
  return {
    node,
    v8,
    ...Object.fromEntries(packages.map((name) => [name, versionOf(name)])),
  }
}

function versionOf(name: string): string {
  const file = findPackageJSON(name, import.meta.url)
  if (file === undefined) return 'not installed'
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }
  return version
}
