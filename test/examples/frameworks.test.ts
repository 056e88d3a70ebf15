import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FlowStats } from '../../src/index.ts'
import { survivors } from '../support/flow.ts'
import { type Example, eventually, startExample } from './example.ts'

describe.each(['express', 'hono'])('the service behind %s', (framework) => {
  let service: Example
  beforeAll(async () => {
    service = await startExample(`${framework}/server.ts`)
  })
  afterAll(() => service[Symbol.asyncDispose]())

  const post = (body: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${service.url}/sum`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
      ...init,
    })
  const stats = async (): Promise<FlowStats> =>
    (await (await fetch(`${service.url}/stats`)).json()) as FlowStats

  test('sums, and is ready', async () => {
    const sums = await Promise.all(
      [10, 0, 2].map(async (number) => (await post(JSON.stringify({ number }))).json()),
    )
    expect(sums).toEqual([{ result: 285 }, { result: 0 }, { result: 1 }])
    expect((await fetch(`${service.url}/health/ready`)).status).toBe(200)
  })

  test.each([
    '{}',
    '{"number":-1}',
    '{"number":"many"}',
    '{"number":1e9}',
    '{"number":',
    '',
    'null',
  ])('refuses %s with 400', async (body) => {
    const refusal = await post(body)
    expect(refusal.status).toBe(400)
    expect(await refusal.json()).toEqual({
      error: { code: 'BAD_REQUEST', message: expect.any(String) },
    })
  })

  test('takes the tasks back of clients that hang up', async () => {
    const before = (await stats()).tasks
    const hangUp = new AbortController()
    const requests = Array.from({ length: 9 }, () =>
      post('{"number":1}', { signal: hangUp.signal }),
    )
    await eventually(async () => (await stats()).tasks.admitted > before.admitted + 8 || undefined)
    hangUp.abort()
    await Promise.allSettled(requests)
    const { cancelled, pending } = await eventually(async () => {
      const { tasks } = await stats()
      return tasks.pending === 0 ? tasks : undefined
    })
    expect(cancelled).toBeGreaterThan(before.cancelled)
    expect(pending).toBe(0)
  })

  // The last one: it ends the service.
  test('finishes what is under way at a signal, and leaves no process', async () => {
    const { workers } = await stats()
    const requests = Array.from({ length: 9 }, () => post('{"number":2}'))
    await eventually(async () => (await stats()).tasks.pending >= 2 || undefined)
    void service.end('SIGINT') // a Ctrl-C under npm arrives twice
    const { code } = await service.end('SIGINT')
    const replies = await Promise.allSettled(requests)
    const statuses = replies.flatMap((it) => (it.status === 'fulfilled' ? it.value.status : []))
    expect(statuses.length).toBeGreaterThanOrEqual(2)
    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(code).toBe(0)
    expect(survivors(workers.map(({ pid }) => pid))).toEqual([])
  })
})
