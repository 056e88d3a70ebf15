import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Flow, FlowStep } from 'aqueduct-ts'
import aqueductDashboard from 'aqueduct-ts/dashboard'
import type { AxeResults } from 'axe-core'
import Fastify from 'fastify'
import { type Browser, type Page, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Look, PageTask, Tell } from '../fixtures/dashboard.ts'
import { Gate } from '../support/flow-gate.ts'

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const args = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

const textOf = (page: Page, selector: string): Promise<string> => page.locator(selector).innerText()

/** A worker's row in the table. */
const rowOf = (page: Page, worker: string) =>
  page.locator('#workers tbody tr', { has: page.getByRole('rowheader', { name: worker }) })

describe.skipIf(!existsSync(executablePath))('the page of the dashboard', () => {
  let starts: Gate
  let flow: Flow<PageTask>
  let url: string
  let browser: Browser
  const app = Fastify()
  /** What pages asked for, and what went wrong in them. */
  const requests: string[] = []
  const problems: string[] = []

  beforeAll(async () => {
    starts = await Gate.close()
    starts.open()
    flow = new Flow<PageTask>(
      [
        new FlowStep(Look, { nprocs: 2, batchSize: 4, args: [starts.name] }),
        new FlowStep(Tell, { name: 'Tell' }),
      ],
      { queuePriorities: 2, maxPending: 100, memory: 1 << 26, logger: silent },
    )
    await flow.start()
    await app.register(aqueductDashboard, { flow })
    url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/dashboard`
    browser = await chromium.launch({ executablePath, args })
  })
  afterAll(async () => {
    await browser?.close()
    await app.close()
    await flow?.stop({ graceful: false })
    await starts?.[Symbol.asyncDispose]()
  })

  async function open(options: Parameters<Browser['newPage']>[0] = {}): Promise<Page> {
    const page = await browser.newPage(options)
    page.on('request', (request) => requests.push(request.url()))
    page.on('pageerror', (error) => problems.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text())
    })
    await page.goto(url)
    await page.locator('body[data-connection="live"]').waitFor()
    return page
  }

  test('shows the flow’s own numbers', async () => {
    await using gate = await Gate.close()
    await using page = await open()
    const kept = await flow.process(new PageTask({ picture: new Uint8Array(100_000) }))
    await Promise.all(Array.from({ length: 40 }, () => flow.process(new PageTask())))
    await Promise.allSettled([flow.process(new PageTask({ throws: 'this is bad' }))])
    await Promise.allSettled([
      flow.process(new PageTask({ gate: gate.name }), { timeout: 50 }),
      flow.process(new PageTask(), { signal: AbortSignal.abort() }),
    ])
    const aborting = new AbortController()
    const cancelled = flow.process(new PageTask({ gate: gate.name }), { signal: aborting.signal })
    await gate.visited(2)
    aborting.abort()
    await cancelled.catch(() => undefined)
    const held = [0, 1, 1].map((priority) =>
      flow.process(new PageTask({ gate: gate.name }), { priority }),
    )
    const { tasks, workers, memory } = flow.stats()
    expect(tasks).toMatchObject({ failed: 1, timedOut: 1, cancelled: 1, pending: 3, completed: 41 })
    for (const [name, value] of Object.entries(tasks))
      await page
        .locator(`[data-total="${name}"] dd`, { hasText: new RegExp(`^${value}$`) })
        .waitFor()
    expect(await textOf(page, '#tile-pending strong')).toBe('3')
    expect(await textOf(page, '#tile-shared-memory .about')).toContain(
      `${memory.blocksInUse} block`,
    )
    for (const { step, index, pid } of workers)
      expect(await rowOf(page, `${step} ${index}`).innerText()).toContain(String(pid))
    // Both workers of Look are held up at the gate: the rest waits.
    await page.locator('#queues tr', { hasText: 'Look, priority 1' }).waitFor()
    const waiting = await page.locator('#queues tbody td:nth-child(2)').allInnerTexts()
    const total = flow.metrics().steps.flatMap((step) => step.waiting)
    expect(waiting.toSorted()).toEqual(total.map(String).toSorted())
    await page.locator('#problems summary', { hasText: 'this is bad' }).click()
    expect(await textOf(page, '#problems pre')).toContain('fixtures/dashboard.ts')
    gate.open()
    await Promise.all(held)
    await page.locator('[data-total="pending"] dd', { hasText: /^0$/ }).waitFor()
    expect(await page.locator('#slow li').count()).toBeGreaterThan(0)
    kept.release()
  })

  test('shows how a worker dies and another one returns', async () => {
    await using page = await open()
    const { pid } = flow.stats().workers.find(({ step }) => step === 'Look')!
    const row = rowOf(page, 'Look 0')
    expect(await row.innerText()).toContain('running')
    const before = starts.count
    starts.shut()
    process.kill(pid, 'SIGKILL')
    // Its successor waits at the gate: this is what the page shows for as long as the test wants.
    await starts.visited(before + 1)
    await row.locator('[data-state="starting"]').waitFor()
    await page.locator('body[data-level="warn"], body[data-level="bad"]').waitFor()
    expect(await textOf(page, '#reasons')).toContain('1 of 2 workers of Look are running.')
    await page.locator('#pipeline .cell[data-state="starting"]').waitFor({ state: 'attached' })
    await page
      .locator('#events li', { hasText: `worker ${pid} of step Look ended with SIGKILL` })
      .waitFor()
    expect(await page.locator('#chart-throughput .mark').count()).toBeGreaterThan(0)
    starts.open()
    await row.locator('[data-state="running"]').waitFor()
    await page.locator('#events li', { hasText: 'has taken over' }).waitFor()
    const [now] = flow.stats().workers
    expect(now!.pid).not.toBe(pid)
    expect(await row.innerText()).toContain(String(now!.pid))
    expect(await row.locator('td').nth(3).innerText()).toBe('1')
  })

  test('can be walked through by keyboard', async () => {
    await using page = await open()
    const focused = (): Promise<string> =>
      page.evaluate<string>(
        `(({ activeElement: at }) => at.id || at.closest('figure')?.id || at.textContent)(document)`,
      )
    await page.keyboard.press('Tab')
    expect(await focused()).toBe('Skip to how the flow is doing')
    await page.keyboard.press('Enter')
    expect(await focused()).toBe('verdict')
    await page.reload()
    await page.locator('body[data-connection="live"]').waitFor()
    await page.keyboard.press('Tab')
    await page.keyboard.press('Tab')
    expect(await focused()).toBe('pause')
    await page.keyboard.press('Space')
    expect(await textOf(page, '#connection')).toBe('Paused')
    await page.keyboard.press('Tab')
    expect(await focused()).toBe('chart-throughput')
    await page.keyboard.press('ArrowLeft')
    expect(await textOf(page, '#readout')).toMatch(/^\d\d:\d\d:\d\d: done /)
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter') // the chart as a table
    await page.locator('#chart-throughput tbody tr').first().waitFor() // it is drawn once it is open
    await page.locator('#pause').press('Space')
    await page.locator('#connection', { hasText: 'Live' }).waitFor()
  })

  const views = (['light', 'dark'] as const).flatMap((colorScheme) =>
    [1360, 375].map((width) => ({ colorScheme, width })),
  )
  test.each(views)(
    'fits, and is accessible: $colorScheme, $width wide',
    async ({ colorScheme, width }) => {
      await using page = await open({ colorScheme, viewport: { width, height: 800 } })
      expect(
        await page.evaluate<number>('document.documentElement.scrollWidth'),
      ).toBeLessThanOrEqual(width)
      for (const table of ['#queues .table', '#workers .table'])
        expect(
          await page.evaluate<number>(
            `(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector('${table}'))`,
          ),
        ).toBe(0)
      const ground = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
      const [red = 0] = ground.match(/\d+/g)!.map(Number)
      expect(red > 128).toBe(colorScheme === 'light')
      await page.evaluate(axe)
      const { violations } = await page.evaluate<AxeResults>('axe.run()')
      expect(violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)])).toEqual([])
    },
  )

  test('moves nothing for those who want no motion', async () => {
    await using page = await open({ reducedMotion: 'reduce' })
    const running = await page.evaluate<number>(
      `document.getAnimations().filter(({ playState }) => playState === 'running').length`,
    )
    expect(running).toBe(0)
  })

  test('says that it is cut off when the application ends', async () => {
    const other = Fastify()
    await other.register(aqueductDashboard, { flow, path: '/elsewhere' })
    const page = await browser.newPage()
    await page.goto(`${await other.listen({ port: 0, host: '127.0.0.1' })}/elsewhere`)
    await page.locator('body[data-connection="live"]').waitFor()
    await other.close()
    const words = page.locator('#connection', { hasText: 'The connection is lost' })
    await words.waitFor()
    expect(await page.locator('body').getAttribute('data-connection')).toBe('lost')
    await page.close()
  })

  test('asks no other host for anything, and nothing went wrong in it', () => {
    const origin = new URL(url).origin
    expect(requests.length).toBeGreaterThan(10)
    expect(requests.filter((request) => new URL(request).origin !== origin)).toEqual([])
    expect(problems).toEqual([])
  })
})
