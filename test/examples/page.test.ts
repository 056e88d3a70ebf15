import { existsSync } from 'node:fs'
import { type Browser, type Page, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Example, startExample } from './example.ts'

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium'

type Point = readonly [x: number, y: number]

/** Strokes in a box of 100 x 100. */
const SEVEN: readonly Point[] = [
  [28, 22],
  [72, 22],
  [46, 82],
]
const THREE: readonly Point[] = [
  [32, 26],
  [44, 18],
  [58, 18],
  [68, 28],
  [62, 42],
  [48, 48],
  [64, 54],
  [70, 66],
  [62, 78],
  [46, 82],
  [32, 74],
]

async function draw(page: Page, [start, ...points]: readonly Point[]): Promise<void> {
  const box = (await page.locator('canvas').boundingBox())!
  const at = ([x, y]: Point): [number, number] => [
    box.x + (x / 100) * box.width,
    box.y + (y / 100) * box.height,
  ]
  await page.mouse.move(...at(start!))
  await page.mouse.down()
  for (const point of points) await page.mouse.move(...at(point), { steps: 5 })
  await page.mouse.up()
}

describe.skipIf(!existsSync(executablePath))('the page', () => {
  let service: Example
  let browser: Browser
  let page: Page
  const problems: string[] = []

  beforeAll(async () => {
    ;[service, browser] = await Promise.all([
      startExample('digits/server.ts'),
      chromium.launch({
        executablePath,
        args: [
          '--headless',
          '--no-sandbox',
          '--disable-gpu',
          '--no-first-run',
          '--disable-background-networking',
          '--disable-component-update',
          '--disable-sync',
        ],
      }),
    ])
    page = await browser.newPage()
    page.on('pageerror', (error) => problems.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text())
    })
    await page.goto(service.url)
  })
  afterAll(async () => {
    await browser?.close()
    await service?.[Symbol.asyncDispose]()
  })

  test.each([
    ['7', SEVEN],
    ['3', THREE],
  ])('a %s drawn with the mouse is recognised', async (digit, strokes) => {
    if (await page.locator('#clear').isEnabled()) await page.locator('#clear').click()
    await draw(page, strokes)
    await page.locator('#digit', { hasText: digit }).waitFor({ timeout: 10_000 })
    expect(await page.locator('#steps tr th').allTextContents()).toEqual([
      'Decode',
      'Classify',
      'Answer',
    ])
    expect(await page.locator('#steps .lane i.handle').count()).toBe(3)
    expect(problems).toEqual([])
  })

  test('what is no picture is refused', async () => {
    await page.locator('#file').setInputFiles({
      name: 'note.png',
      mimeType: 'image/png',
      buffer: Buffer.from('not an image'),
    })
    await page.locator('#problem.shown').waitFor()
    expect(await page.locator('#problem').textContent()).toContain('not an image')
  })
})
