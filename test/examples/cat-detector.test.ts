import { expect, test } from 'vitest'
import { runExample } from './example.ts'

test('the cat detector prints its figures for people and for programs', async () => {
  const [people, programs] = await Promise.all([
    runExample('cat-detector/main.ts'),
    runExample('cat-detector/main.ts', ['--json']),
  ])
  expect(people.code).toBe(0)
  expect(people.printed).toMatch(/one batch: [\d.]+ ms/)
  expect(people.printed).toMatch(/one by one: +[\d.]+ ms/)
  expect(JSON.parse(programs.printed)).toEqual({
    batchMs: expect.any(Number),
    oneByOneMs: expect.any(Number),
    idealMs: 140,
    runs: Array.from({ length: 10 }, () => expect.any(Number)),
  })
})
