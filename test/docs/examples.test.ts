import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const documented = [
  'flow',
  'flow-options',
  'flow-client',
  'step',
  'task',
  'handler',
  'errors',
  'worker/flow-worker',
  'worker/log',
  'dashboard/plugin',
  'integrations/fastify',
  'integrations/http/connections',
  'integrations/http/errors',
  'integrations/http/hang-up',
  'integrations/sentry',
  'metrics/values',
  'integrations/opentelemetry',
  'integrations/opentelemetry/task-context',
  'integrations/prometheus',
  'watch/flow-observer',
  'watch/find-flows',
  'integrations/statsd',
  'integrations/statsd/exporter',
]

/** The TypeScript blocks of a text; in a source file each line of theirs begins with the comment's asterisk. */
function blocksOf(text: string): string[] {
  return [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, block]) =>
    block!.replaceAll(/^ *\*(?: |$)/gm, ''),
  )
}

/** A folder inside the package, so that the examples find it by its own name. */
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(root, '.examples-'))
  const readme = blocksOf(await readFile(join(root, 'README.md'), 'utf8'))
  for (const name of ['sum', 'app']) {
    const block = readme.find((one) => one.startsWith(`// ${name}.ts`))
    if (block === undefined)
      throw new Error(`README.md has no block that begins with // ${name}.ts`)
    await writeFile(join(folder, `${name}.ts`), block)
  }
})

afterAll(() => rm(folder, { recursive: true }))

async function run(file: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, file)], {
    timeout: 20_000,
  })
  return stdout
}

test("the README's example does what it says", async () => {
  expect(await run('app.ts')).toBe('11\n')
})

test.each(documented)('the example of src/%s.ts runs', async (name) => {
  const source = await readFile(join(root, 'src', `${name}.ts`), 'utf8')
  const examples = blocksOf(source)
  expect(examples.length).toBeGreaterThan(0)
  for (const [index, example] of examples.entries()) {
    const file = `${name.replaceAll('/', '-')}-${index}.ts`
    await writeFile(join(folder, file), example)
    await run(file)
  }
})
