// Sends requests to a server, at a constant rate or from so many clients, in a process of its own. Checks every answer.
import { readFileSync } from 'node:fs'
import { HttpPool } from '../harness/http-pool.ts'
import { constantArrivals } from '../harness/constant-arrivals.ts'
import { plan, serve } from '../harness/orders.ts'
import { quantile } from '../harness/statistics.ts'
import type { Clients, Expected, LoadOrder, LoadPlan } from './http-load-orders.ts'

/** Connections: more than that and it is they that are measured. */
const MOST_CONNECTIONS = 512
/** Answers of other runtimes, and of other batches, differ in their last digits. */
const TOLERANCE = 5e-4
const WARM_UP_SHARE = 0.2

const { target, requests, type } = plan() as LoadPlan
const pool = new HttpPool(target, MOST_CONNECTIONS)
const prepared = requests.map(({ file, body, expected }) => ({
  request: pool.prepare(
    file === undefined ? (body === undefined ? undefined : Buffer.from(body)) : readFileSync(file),
    type,
  ),
  expected,
}))

async function act(number: number): Promise<void> {
  const { request, expected } = prepared[number % prepared.length]!
  const answer = await pool.send(request)
  if (!isClose(JSON.parse(answer) as Expected, expected)) {
    throw new Error(`wrong answer: ${answer.slice(0, 200)} instead of ${JSON.stringify(expected)}`)
  }
}

function isClose(answer: Expected, expected: Expected): boolean {
  if (typeof answer === 'number' && typeof expected === 'number') {
    return Math.abs(answer - expected) <= TOLERANCE * Math.max(1, Math.abs(expected))
  }
  if (typeof answer !== 'object' || typeof expected !== 'object') return answer === expected
  return Object.entries(expected).every(
    ([key, value]) => key in answer && isClose(answer[key]!, value),
  )
}

/** So many clients, each with one request at a time. */
async function closedLoop(clients: number, seconds: number): Promise<Clients> {
  const durations: number[] = []
  const begin = performance.now()
  const from = begin + seconds * 1000 * WARM_UP_SHARE
  const until = from + seconds * 1000
  let next = 0
  let last = from
  // On a machine that is too busy a short time passes without an answer: there is one at least.
  const goesOn = (): boolean => performance.now() < until || durations.length === 0
  const client = async (): Promise<void> => {
    while (goesOn()) {
      const sent = performance.now()
      await act(next++)
      const now = performance.now()
      if (sent < from || !goesOn()) continue
      durations.push(now - sent)
      last = now
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return {
    perSecond: durations.length / (Math.max(last - from, seconds * 1000) / 1000),
    p50Ms: quantile(durations, 0.5),
    p99Ms: quantile(durations, 0.99),
    samples: durations.length,
    sent: next,
  }
}

await serve(
  {},
  (order: LoadOrder): Promise<object> =>
    order.do === 'openLoop'
      ? constantArrivals(act, order)
      : closedLoop(order.clients, order.seconds),
  async () => pool.close(),
)
process.exit()
