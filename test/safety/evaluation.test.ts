import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const folder = fileURLToPath(new URL('../../src', import.meta.url))
/** What people start themselves, with modules of their own, and what runs in their browser: no request comes by there. */
const STARTED_BY_PEOPLE = /^(chaos|cli|dashboard\/page)\//
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.ts') && !STARTED_BY_PEOPLE.test(file),
)
/** The code without its comments. */
const codeOf = (file: string): string =>
  readFileSync(join(folder, file), 'utf8').replaceAll(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, '')
const having = (pattern: RegExp): string[] => files.filter((file) => pattern.test(codeOf(file)))

test('nothing is evaluated, but one word of ours that asks V8 for its collector', () => {
  expect(files.length).toBeGreaterThan(50)
  expect(having(/\beval\(|\bnew Function\b|[^\w.]Function\(|node:repl|\bcreateRequire\b/)).toEqual(
    [],
  )
  expect(having(/\b(setTimeout|setInterval|setImmediate)\(\s*['"`]/)).toEqual([])
  expect(having(/node:vm/)).toEqual(['client/garbage.ts'])
  const words = codeOf('client/garbage.ts').match(/runIn\w+\([^)]*\)/g)
  expect(words).toEqual(["runInNewContext('gc')"])
})

test('only the module that the flow names as its handler is imported by name, and nothing that a task brings', () => {
  expect(having(/\bimport\(/)).toEqual(['worker/handler-loader.ts'])
  // Where programs begin: the library's own entries, never a place that came with a message.
  expect(having(/node:child_process/)).toEqual(['runtime/process-worker.ts'])
  expect(having(/\bnew Worker\(/)).toEqual(['runtime/thread-worker.ts'])
})

test('only the frames of a handshake, between processes of one user, are read by another codec than ours', () => {
  expect(having(/\bdeserialize\(|\bJSON\.parse\(/)).toEqual(['transport/handshake.ts'])
})
