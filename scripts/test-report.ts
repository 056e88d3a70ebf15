// A reporter of vitest: writes what came of the tests to the file that TEST_REPORT names, for scripts/check.ts.
import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { SerializedError } from 'vitest'
import type { Reporter, TestModule, TestSpecification } from 'vitest/node'

export interface TestReport {
  readonly passed: number
  /** A line for each test that failed, each file that did not load or whose process died, each unhandled error. */
  readonly failures: readonly string[]
}

const firstLine = (text: string): string => stripVTControlCharacters(text).trim().split('\n')[0]!

/** An error and its causes in one line: vitest wraps the death of a process, and the cause says how it died. */
const inOneLine = ({ message, cause }: SerializedError): string =>
  cause === undefined ? firstLine(message) : `${firstLine(message)} ${inOneLine(cause)}`

const pathOf = (file: string): string => relative(process.cwd(), file)

const told = (where: string[], { message }: { message: string }): string =>
  `${where.join(' > ').replaceAll(/\s+/g, ' ')}: ${firstLine(message)}`

function* failuresOf(module: TestModule): Iterable<string> {
  const path = pathOf(module.moduleId)
  for (const error of module.errors()) yield told([path], error)
  for (const suite of module.children.allSuites())
    for (const error of suite.errors()) yield told([path, suite.fullName], error)
  for (const test of module.children.allTests('failed'))
    yield told([path, test.fullName], test.result().errors?.[0] ?? { message: 'it gave no error' })
}

export default class implements Reporter {
  #files: string[] = []

  onTestRunStart(specifications: readonly TestSpecification[]): void {
    this.#files = specifications.map(({ moduleId }) => moduleId)
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const ended = new Set(
      modules
        .filter((module) => !['queued', 'pending'].includes(module.state()))
        .map(({ moduleId }) => moduleId),
    )
    const errors = unhandled.map((error) => {
      const file = error['VITEST_TEST_PATH']
      return typeof file === 'string' ? `${file}: ${inOneLine(error)}` : inOneLine(error)
    })
    const report: TestReport = {
      passed: modules.flatMap((module) => [...module.children.allTests('passed')]).length,
      failures: [
        ...modules.flatMap((module) => [...failuresOf(module)]),
        ...errors.map((error) => error.replaceAll(`${process.cwd()}/`, '')),
        ...this.#files
          .filter((file) => !ended.has(file) && !errors.some((error) => error.includes(file)))
          .map((file) => `${pathOf(file)}: did not run to its end`),
      ],
    }
    writeFileSync(process.env['TEST_REPORT']!, JSON.stringify(report))
  }
}
