import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { Flow } from '../../src/index.ts'
import { registerFlow } from '../../src/integrations/prometheus.ts'
import { WorkHandler } from '../fixtures/work.ts'
import { root } from '../support/documentation.ts'
import { hasPromtool, promtool } from '../support/promtool.ts'

const folder = join(root, 'examples/prometheus')
const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8')

/** What a query may name: the metrics, and of histograms their lines. */
function names(): Set<string> {
  const registry = new Registry()
  registerFlow(new Flow([WorkHandler]), { registry })
  return new Set(
    registry
      .getMetricsAsArray()
      .flatMap(({ name, type }) =>
        String(type) === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
      ),
  )
}

interface Panel {
  readonly title: string
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>
  readonly targets?: readonly { readonly expr: string }[]
}

const panels = async (): Promise<readonly Panel[]> =>
  (JSON.parse(await read('grafana.json')) as { readonly panels: readonly Panel[] }).panels

const queries = async (): Promise<string[]> =>
  (await panels()).flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))

const named = (text: string): Set<string> => new Set(text.match(/aqueduct_\w+/g))

test('the queries of the Grafana dashboard name metrics that there are, and leave none out', async () => {
  const text = (await queries()).join('\n')
  const known = names()
  expect([...named(text)].filter((name) => !known.has(name))).toEqual([])
  const bases = new Set([...known].map((name) => name.replace(/_(bucket|sum|count)$/, '')))
  expect([...bases].filter((name) => !text.includes(name))).toEqual([])
})

test('the alert rules name metrics that there are', async () => {
  const rules = (await read('alerts.yml')).replaceAll(/^#.*$/gm, '')
  const known = names()
  expect([...named(rules)].filter((name) => !known.has(name))).toEqual([])
  expect(named(rules).size).toBeGreaterThan(5)
})

test('the panels of the Grafana dashboard do not lie over each other', async () => {
  const cells = new Map<string, string>()
  for (const { title, gridPos } of await panels()) {
    expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(cells.get(`${x} ${y}`), `${title} lies over another`).toBeUndefined()
        cells.set(`${x} ${y}`, title)
      }
    }
  }
})

// Debian: apt-get download prometheus; the package itself would start a service.
test.skipIf(!hasPromtool)('promtool accepts the alert rules', async () => {
  const { code, said } = await promtool(['check', 'rules', 'alerts.yml'], { cwd: folder })
  expect(said).toContain('SUCCESS: 9 rules found')
  expect(code).toBe(0)
})

test.skipIf(!hasPromtool)('the alerts come when they should, and not before', async () => {
  const { code, said } = await promtool(['test', 'rules', 'alerts.test.yml'], { cwd: folder })
  expect(said).toContain('SUCCESS')
  expect(code).toBe(0)
})

test.skipIf(!hasPromtool)('promtool accepts the queries of the Grafana dashboard', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'aqueduct-grafana-'))
  const rules = (await queries()).map((expr, index) => ({
    record: `query:${index}`,
    expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$flow', '.*'),
  }))
  await writeFile(join(scratch, 'rules.json'), JSON.stringify({ groups: [{ name: 'all', rules }] }))
  const { code, said } = await promtool(['check', 'rules', 'rules.json'], { cwd: scratch })
  await rm(scratch, { recursive: true })
  expect(said).toContain(`SUCCESS: ${rules.length} rules found`)
  expect(code).toBe(0)
})
