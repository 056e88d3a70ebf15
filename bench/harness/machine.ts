import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { join } from 'node:path'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { missingPackage, missingPython, nodePeers } from './peers.ts'

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
  const packages = ['aqueduct-ts', 'koffi', 'fastify', 'onnxruntime-node', 'piscina']
  return {
    node,
    v8,
    ...Object.fromEntries(packages.map((name) => [name, versionOf(name)])),
    ...nodePeerVersions(),
    ...pythonPeerVersions(),
  }
}

function versionOf(name: string): string {
  const file = findPackageJSON(name, import.meta.url)
  return file === undefined ? 'not installed' : versionIn(file)
}

function versionIn(file: string): string {
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }
  return version
}

function nodePeerVersions(): object {
  const there = ['tinypool', 'poolifier', 'workerpool'].filter(
    (name) => missingPackage(name) === undefined,
  )
  return Object.fromEntries(
    there.map((name) => [name, versionIn(join(nodePeers, 'node_modules', name, 'package.json'))]),
  )
}

/** What is pinned is what is installed: pip is given nothing else. */
function pythonPeerVersions(): object {
  if (missingPython() !== undefined) return {}
  const pins = readFileSync(new URL('../peers/requirements.txt', import.meta.url), 'utf8')
  const versionOfPin = (name: string): string =>
    new RegExp(`^${name}==(.+)$`, 'm').exec(pins)?.[1] ?? 'not pinned'
  return Object.fromEntries(
    ['aqueduct', 'aiohttp', 'onnxruntime', 'litserve', 'mosec'].map((name) => [
      `${name} (Python)`,
      versionOfPin(name),
    ]),
  )
}
