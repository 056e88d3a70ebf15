import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { json } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { childrenOf, survivors, until } from '../support/flow.ts'
import { type Example, eventually, startExample } from './example.ts'

interface Sum {
  readonly result: number
  readonly pid: number
}

/** On a connection of its own each time, so that every process gets some. */
async function sum(url: string, number: number): Promise<Sum> {
  const body = JSON.stringify({ number })
  const call = request(`${url}/sum`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json', 'content-length': body.length },
  })
  call.end(body)
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  expect(response.statusCode).toBe(200)
  return (await json(response)) as Sum
}

const readiness = async ({ url }: Example): Promise<number> =>
  (await fetch(`${url}/health/ready`)).status

/** Sends numbers until `count` processes have answered; their pids. */
const pidsThatAnswer = (url: string, count: number): Promise<number[]> => {
  const pids = new Set<number>()
  return eventually(async () => {
    const { result, pid } = await sum(url, 10)
    expect(result).toBe(285)
    pids.add(pid)
    return pids.size === count ? [...pids] : undefined
  })
}

test('a cluster of web processes with one flow: a killed one is replaced, and nobody else notices', async () => {
  await using service = await startExample('cluster/server.ts', { WEB: '2' })
  const [victim, other] = await pidsThatAnswer(service.url, 2)
  process.kill(victim!, 'SIGKILL')
  // Until the primary has noticed, node:cluster hands connections to the dead.
  await until(() => service.printed().includes('another one takes its place'), 'it is noticed')
  const [first, second] = await pidsThatAnswer(service.url, 2)
  expect([first, second]).toContain(other)
  expect([first, second]).not.toContain(victim)
  expect(service.printed()).toContain(`Web worker ${victim} ended with SIGKILL`)
  const family = childrenOf(service.pid)
  expect(family.length).toBeGreaterThanOrEqual(4) // two for the web, two for the model
  expect((await service.end('SIGTERM')).code).toBe(0)
  expect(survivors(family)).toEqual([])
})

test('web processes apart from their flow: each side may start, end and come again by itself', async () => {
  const FLOW = `test-${process.pid}`
  const startFlow = (): Promise<Example> => startExample('separate/flow.ts', { FLOW }, /runs\./)
  const startWeb = (): Promise<Example> => startExample('separate/web.ts', { FLOW })

  // The web process comes first, and waits for the flow.
  const waiting = startWeb()
  await using flow = await startFlow()
  await using web = await waiting
  expect((await sum(web.url, 10)).result).toBe(285)

  // A web process that is killed takes nothing with it; another one comes.
  const killed = await startWeb()
  expect((await sum(killed.url, 3)).result).toBe(5)
  await killed.end('SIGKILL')
  await using next = await startWeb()
  expect((await sum(next.url, 4)).result).toBe(14)
  expect((await sum(web.url, 10)).result).toBe(285)

  // The flow is killed: the web processes say so, and find the next one by themselves.
  await flow.end('SIGKILL')
  await eventually(async () => ((await readiness(web)) === 503 ? true : undefined))
  const refused = await fetch(`${web.url}/sum`, {
    method: 'POST',
    body: '{"number":1}',
    headers: { 'content-type': 'application/json' },
  })
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).not.toBeNull()
  await using again = await startFlow()
  for (const each of [web, next]) {
    await eventually(async () => ((await readiness(each)) === 200 ? true : undefined))
    expect((await sum(each.url, 10)).result).toBe(285)
  }

  // Both end orderly, the flow with the web processes still there.
  expect((await again.end('SIGTERM')).code).toBe(0)
  for (const each of [web, next]) expect((await each.end('SIGTERM')).code).toBe(0)
})
