import { expect, test } from 'vitest'
import { startExample } from './example.ts'

test('the sum service sums, refuses what is no number, and ends', async () => {
  await using service = await startExample('sum/server.ts')
  const post = (body: unknown): Promise<Response> =>
    fetch(`${service.url}/sum`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })
  const sums = await Promise.all([10, 0, 2].map(async (number) => (await post({ number })).json()))
  expect(sums).toEqual([{ result: 285 }, { result: 0 }, { result: 1 }])
  for (const body of [{}, { number: -1 }, { number: 'many' }, { number: 1e9 }]) {
    const refusal = await post(body)
    expect(refusal.status).toBe(400)
    expect(await refusal.json()).toMatchObject({ code: 'FST_ERR_VALIDATION' })
  }
  expect((await fetch(`${service.url}/health/ready`)).status).toBe(200)
  const { code } = await service.end('SIGINT')
  expect(code).toBe(0)
})
