import Fastify, { type FastifyInstance } from 'fastify'
import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import aqueduct from '../../src/integrations/fastify.ts'
import { SyncHandler, WorkHandler, WorkTask } from '../fixtures/work.ts'
import { listen } from '../integrations/fastify-fixture.ts'
import { describeIsolations, rejection, started, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

const BATCH = 8
const HEALTHY = 64
const ROUNDS = 2
/** Long enough for a batch to be in its handler's hands by then. */
const TIMEOUT = 1_000

/** A task with a payload in shared memory. */
const heavy = (id: number, gate?: string): WorkTask =>
  Object.assign(new WorkTask(id, gate === undefined ? {} : { gate }), {
    payload: new Uint8Array(100_000).fill(id),
  })

interface Handled {
  readonly call?: number
  readonly batch?: number[]
}

/** How healthy traffic was handled: sizes of its batches, in the order of the calls, and whether those followed each other. */
function shapeOf(handled: readonly Handled[]): { sizes: number[]; isConsecutive: boolean } {
  const batches = new Map(handled.map(({ call, batch }) => [call!, batch!.length]))
  const calls = [...batches.keys()].toSorted((a, b) => a - b)
  return {
    sizes: calls.map((call) => batches.get(call)!),
    isConsecutive: calls.every((call, index) => call === calls[0]! + index),
  }
}

const FULL = { sizes: Array.from({ length: HEALTHY / BATCH }, () => BATCH), isConsecutive: true }

async function expectNothingLeft(flow: Flow<WorkTask>): Promise<void> {
  await until(() => flow.stats().memory.blocksInUse === 0, 'no block is in use')
  const { tasks, steps, workers } = flow.stats()
  const { admitted, completed, failed, timedOut, cancelled, pending } = tasks
  expect(pending).toBe(0)
  expect(completed + failed + timedOut + cancelled).toBe(admitted)
  expect(steps.map(({ queued }) => queued)).toEqual([0, 0])
  expect(workers.map(({ restarts }) => restarts)).toEqual([0, 0])
}

describeIsolations('after a burst of timeouts and callers that leave', (isolation) => {
  // As many slots as the healthy traffic needs: one that the burst kept would be missing.
  const working = (): Promise<Flow<WorkTask>> =>
    started(
      new Flow(
        [
          new FlowStep(WorkHandler, { isolation, batchSize: BATCH, batchTimeout: 60_000 }),
          new FlowStep(SyncHandler, { isolation, batchSize: BATCH }),
        ],
        { maxPending: HEALTHY, memory: 64 * 2 ** 20 },
      ),
    )

  test('traffic is handled as it was before: all of it, in full batches, and nothing of the burst is left', async () => {
    await using flow = await working()
    const healthy = async (): Promise<void> => {
      const tasks = Array.from({ length: HEALTHY }, (_, id) => heavy(id))
      await Promise.all(tasks.map((task) => flow.process(task, { timeout: Infinity })))
      for (const task of tasks) task.release()
      await endOfPhase()
    }
    /** Batches and tasks that the first step has handled in each phase. */
    const phases: [batches: number, tasks: number][] = []
    let before = { count: 0, sum: 0 }
    const endOfPhase = async (): Promise<void> => {
      await expectNothingLeft(flow)
      const { batchTasks } = flow.metrics().steps[0]!
      phases.push([batchTasks.count - before.count, batchTasks.sum - before.sum])
      before = batchTasks
    }

    await healthy()
    for (let round = 0; round < ROUNDS; round++) {
      await using gate = await Gate.close()
      const callers = Array.from({ length: HEALTHY }, () => new AbortController())
      const outcomes = callers.map(({ signal }, id) =>
        rejection(
          flow.process(heavy(id, gate.name), {
            signal,
            timeout: id % 2 === 0 ? TIMEOUT : Infinity,
          }),
        ),
      )
      await gate.visited() // a batch is in the handler's hands, the others wait
      callers.forEach((caller, id) => {
        if (id % 2 !== 0) caller.abort()
      })
      const codes = (await Promise.all(outcomes)).map((error) => (error as { code: string }).code)
      expect(codes).toEqual(callers.map((_, id) => (id % 2 === 0 ? 'AQ_TIMEOUT' : 'AQ_CANCELLED')))
      gate.open()
      await endOfPhase()
      await healthy()
    }

    // The burst's own batch is the only one that is not of healthy traffic, and the others are full.
    const healthyPhase = [HEALTHY / BATCH, HEALTHY]
    expect(phases).toEqual([
      healthyPhase,
      ...Array.from({ length: ROUNDS }, () => [[1, BATCH], healthyPhase]).flat(),
    ])
    expect(flow.stats().tasks).toMatchObject({
      admitted: HEALTHY * (1 + 2 * ROUNDS),
      completed: HEALTHY * (1 + ROUNDS),
      timedOut: (HEALTHY * ROUNDS) / 2,
      cancelled: (HEALTHY * ROUNDS) / 2,
      failed: 0,
      rejected: 0,
    })
  })

  test('requests are answered as they were before: all of them, from full batches', async () => {
    const flow = await started(
      new Flow([new FlowStep(WorkHandler, { isolation, batchSize: BATCH, batchTimeout: 60_000 })], {
        maxPending: HEALTHY,
        memory: 64 * 2 ** 20,
      }),
    )
    await using app = closing(Fastify())
    await app.register(aqueduct, { flow, exitOnFail: false })
    app.post<{ Querystring: { gate?: string; timeout?: string } }>('/', async (request, reply) => {
      const { gate, timeout = Infinity } = request.query
      using task = heavy(0, gate)
      await flow.process(task, { timeout: Number(timeout), signal: reply.hangUp })
      return { call: task.call, batch: task.batch }
    })
    const url = await listen(app)
    const post = (query = '', init: RequestInit = {}): Promise<Response> =>
      fetch(`${url}/?${query}`, { method: 'POST', ...init })
    const healthy = async (): Promise<void> => {
      const answers = await Promise.all(Array.from({ length: HEALTHY }, () => post()))
      expect(answers.filter(({ ok }) => !ok)).toEqual([])
      const handled = await Promise.all(answers.map((answer) => answer.json() as Promise<Handled>))
      expect(shapeOf(handled)).toEqual(FULL)
      expect(flow.stats().memory.blocksInUse).toBe(0)
    }

    await healthy()
    for (let round = 0; round < ROUNDS; round++) {
      await using gate = await Gate.close()
      const admitted = flow.stats().tasks.admitted + HEALTHY
      const callers = Array.from({ length: HEALTHY }, () => new AbortController())
      const outcomes = callers.map(({ signal }, id) =>
        id % 2 === 0
          ? post(`gate=${gate.name}&timeout=${TIMEOUT}`).then(({ status }) => status)
          : rejection(post(`gate=${gate.name}`, { signal })),
      )
      await gate.visited()
      await until(() => flow.stats().tasks.admitted === admitted, 'all requests have come')
      for (const caller of callers) caller.abort()
      const settled = await Promise.all(outcomes)
      expect(settled.filter((_, id) => id % 2 === 0)).toEqual(
        Array.from({ length: HEALTHY / 2 }, () => 504),
      )
      await until(() => flow.stats().tasks.pending === 0, 'the server has seen all hang up')
      gate.open()
      await until(() => flow.stats().memory.blocksInUse === 0, 'no block is in use')
      await healthy()
    }
    expect(flow.stats().tasks).toMatchObject({
      admitted: HEALTHY * (1 + 2 * ROUNDS),
      completed: HEALTHY * (1 + ROUNDS),
      timedOut: (HEALTHY * ROUNDS) / 2,
      cancelled: (HEALTHY * ROUNDS) / 2,
      failed: 0,
      rejected: 0,
      pending: 0,
    })
  })
})

/** An application that is closed with the test. */
const closing = (app: FastifyInstance): FastifyInstance & AsyncDisposable =>
  Object.assign(app, { [Symbol.asyncDispose]: () => app.close().then(() => undefined) })
