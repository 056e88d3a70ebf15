import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { ChaosReport } from '../../src/chaos/report.ts'
import { root } from '../support/documentation.ts'

interface Result {
  readonly code: number | string | null | undefined
  readonly stdout: string
  readonly stderr: string
}

/** Runs `aqueduct chaos` as `npm run chaos --` does. */
const chaos = (...args: readonly string[]): Promise<Result> =>
  new Promise((resolve) => {
    const options = { cwd: root, env: { ...process.env, NODE_OPTIONS: '' } }
    const command = [join(root, 'dist/cli/aqueduct.js'), 'chaos', ...args]
    execFile(process.execPath, command, options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    )
  })

const quick = ['--seconds', '2', '--kills', '2', '--in-flight', '8', '--no-speed']
const fixture = (name: string): string => join('test/fixtures/chaos', name)

describe('aqueduct chaos', () => {
  test('--json prints one object, and nothing else', async () => {
    const { code, stdout, stderr } = await chaos(...quick, '--json', '--seed', '5')
    const report = JSON.parse(stdout) as ChaosReport & { brokenInvariants: string[] }
    expect(report).toMatchObject({ seed: 5, kills: 2, lost: 0, brokenInvariants: [] })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  test('takes a module with a flow of one’s own, and prints a table for people', async () => {
    const { code, stdout, stderr } = await chaos(...quick, '--flow', fixture('sums.ts'))
    expect(stdout).toMatch(/^seed +\d+ +repeats the schedule/m)
    expect(stdout).toMatch(/^ {2}lost +0 +must be 0$/m)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  test('ends with exit code 1 and names the invariant when one is broken', async () => {
    const { code, stdout, stderr } = await chaos(...quick, '--flow', fixture('wrong-sums.ts'))
    expect(code).toBe(1)
    expect(stderr).toMatch(/^broken: wrongResults is \d+, and must be 0$/m)
    expect(stdout).toContain('problem: SumTask came back wrong')
  })

  test.each([
    ['an unknown option', ['--kils', '3'], 'there is no option --kils; did you mean --kills?'],
    ['a word too many', ['storm'], "what is 'storm' for?"],
    ['what is no number', ['--kills', 'many'], "--kills takes a number, not 'many'"],
    ['a number that does not fit', ['--seconds', '0'], "'seconds' must be"],
    ['a module that is not there', ['--flow', 'nowhere.ts'], 'there is no file nowhere.ts'],
  ])('answers %s with a message and exit code 2', async (_, args, message) => {
    const { code, stdout, stderr } = await chaos(...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(message)
    expect(stderr).toContain('--help')
  })

  test('a module that is not what it needs is told, with exit code 1', async () => {
    const { code, stdout, stderr } = await chaos('--flow', 'src/errors.ts')
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      'aqueduct: src/errors.ts must export `flow`, a Flow of this library or a function that makes one\n',
    )
  })

  test('--help names every option', async () => {
    const { code, stdout } = await chaos('--help')
    expect(code).toBe(0)
    for (const option of ['flow', 'seconds', 'kills', 'seed', 'no-speed', 'json', 'grace'])
      expect(stdout).toContain(`--${option}`)
  })
})
