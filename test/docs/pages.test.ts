import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Page,
  anchorsOf,
  exampleFilesOf,
  linksOf,
  readPages,
  root,
} from '../support/documentation.ts'

const execute = promisify(execFile)

/** How a row of a table names the test that proves it. */
const PROOF = /`(\S+\.test\.ts)` › (.+?)(?=<br>| \|)/

/** Pages without examples: the index, the experiments, what is fast, and the list of what is proved where. */
const WITHOUT_EXAMPLES = ['README', 'foundations', 'parity', 'performance']

const pages = await readPages()
const withExamples = pages.filter(({ name }) => !WITHOUT_EXAMPLES.includes(name))
const programs = withExamples.flatMap(({ name, files }) =>
  files
    .filter(({ prints }) => prints !== undefined)
    .map((file) => [file.name, name, file.prints] as const),
)
const pageOf = (name: string): Page => pages.find((page) => page.name === name)!

/** A folder inside the package, so that the examples find it by its own name; in it a folder for each page. */
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(root, '.examples-'))
  const readme = exampleFilesOf(await readFile(join(root, 'README.md'), 'utf8'))
  const sum = readme.find(({ name }) => name === 'sum.ts')! // the pages say so where they use it
  for (const { name, files } of withExamples) {
    await mkdir(join(folder, name))
    for (const file of [sum, ...files]) await writeFile(join(folder, name, file.name), file.code)
  }
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: '../tsconfig.base.json',
      compilerOptions: { noEmit: true, allowImportingTsExtensions: true, noUnusedLocals: false },
      include: ['*/*.ts'],
    }),
  )
})

afterAll(() => rm(folder, { recursive: true }))

describe('the examples of the documentation', () => {
  test.each(withExamples.map(({ name }) => name))('docs/%s.md has one that runs', (name) => {
    expect(programs.filter(([, page]) => page === name)).not.toEqual([])
    const names = pageOf(name).files.map((file) => file.name)
    expect(names).toEqual([...new Set(names)]) // two blocks of one name would be one file
  })

  test('compile', async () => {
    await expect(execute(join(root, 'node_modules/.bin/tsc'), ['-p', folder])).resolves.toEqual({
      stdout: '',
      stderr: '',
    })
  })

  test.each(programs)('%s of docs/%s.md prints what the page says', async (file, page, prints) => {
    const { stdout } = await execute(process.execPath, [join(folder, page, file)], {
      timeout: 20_000,
    })
    expect(stdout).toBe(prints)
  })
})

test('the index names every page', () => {
  const links = linksOf(pageOf('README').text)
  const others = pages.filter(({ name }) => name !== 'README')
  expect(links).toEqual(expect.arrayContaining(others.map(({ name }) => `${name}.md`)))
})

test.each(pages.map(({ name }) => name))('the links of docs/%s.md lead somewhere', async (name) => {
  const file = join(root, 'docs', `${name}.md`)
  for (const link of linksOf(pageOf(name).text)) {
    const [path = '', anchor] = link.split('#')
    const target = path === '' ? file : resolve(dirname(file), path)
    await access(target)
    if (anchor === undefined) continue
    expect(anchorsOf(await readFile(target, 'utf8')), `${name}: ${link}`).toContain(anchor)
  }
})

test('the page on troubleshooting has an entry for each error code', async () => {
  const source = await readFile(join(root, 'src/errors.ts'), 'utf8')
  const codes = new Set(source.match(/'AQ_[A-Z_]+'/g)!.map((code) => code.slice(1, -1)))
  const entries = [...pageOf('troubleshooting').text.matchAll(/^\| `(AQ_[A-Z_]+)`/gm)]
  expect(new Set(entries.map(([, code]) => code))).toEqual(codes)
})

describe('what is proved where', () => {
  test('has a row for each behaviour of the original', () => {
    const rows = [...pageOf('parity').text.matchAll(/^\| (\d+) \|/gm)]
    expect(rows.map(([, number]) => Number(number))).toEqual(
      Array.from({ length: 38 }, (_, index) => index + 1),
    )
  })

  test('has a test for each promise', () => {
    const rows = [...pageOf('reliability').text.matchAll(/^\| \*\*.*$/gm)]
    expect(rows.length).toBeGreaterThan(10)
    for (const [row] of rows) expect(row).toMatch(PROOF)
  })

  test.each(['parity', 'reliability'])('docs/%s.md names tests that there are', async (name) => {
    const proofs = [...pageOf(name).text.matchAll(new RegExp(PROOF, 'g'))]
    const missing: string[] = []
    for (const [, file, title] of proofs) {
      const source = await readFile(join(root, 'test', file!), 'utf8').catch(() => '')
      if (!source.replaceAll("\\'", "'").includes(title!)) missing.push(`${file} › ${title}`)
    }
    expect(missing).toEqual([])
    expect(proofs).not.toEqual([])
  })
})
