import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Flow, FlowClient, FlowStep, type FlowStepOptions } from '../../src/index.ts'
import { ListenHandler, ListenTask } from '../fixtures/listening.ts'
import { newAddress, silent } from '../support/clients.ts'
import { describeIsolations, Journal, rejection, started } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

/** What the handler has heard. */
const heardBy = async (flow: Flow<ListenTask>): Promise<[number, string][]> => [
  ...(await flow.process(new ListenTask(-1))).heard!,
]

test('outside of a handler a task has a signal that never fires', () => {
  const { abortSignal } = new ListenTask(0)
  expect(abortSignal.aborted).toBe(false)
})

describeIsolations('a handler that listens for its callers', (isolation) => {
  const listening = (
    options: FlowStepOptions<ListenTask> = {},
    logger = new Journal(),
  ): Promise<Flow<ListenTask>> =>
    started(new Flow([new FlowStep(ListenHandler, { isolation, ...options })], { logger }))

  test('hears that a signal was aborted, and is free for others', async () => {
    await using gate = await Gate.close()
    await using flow = await listening()
    const caller = new AbortController()
    const gone = rejection(
      flow.process(new ListenTask(1, 'stop', { gate: gate.name }), {
        signal: caller.signal,
        timeout: Infinity,
      }),
    )
    await gate.visited()
    caller.abort()
    expect(await gone).toMatchObject({ code: 'AQ_CANCELLED' })
    expect(await heardBy(flow)).toEqual([[1, 'AQ_CANCELLED']])
    expect(flow.stats().tasks).toMatchObject({ admitted: 2, completed: 1, cancelled: 1 })
  })

  test('hears that a deadline has passed', async () => {
    await using gate = await Gate.close()
    await using flow = await listening()
    const late = rejection(
      flow.process(new ListenTask(1, 'stop', { gate: gate.name }), { timeout: 500 }),
    )
    await gate.visited()
    expect(await late).toMatchObject({ code: 'AQ_TIMEOUT' })
    expect(await heardBy(flow)).toEqual([[1, 'AQ_TIMEOUT']])
  })

  test('hears of a deadline also while its client is stuck', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'aqueduct-'))
    const file = join(folder, 'heard')
    await using gate = await Gate.close()
    await using flow = await listening()
    const task = new ListenTask(1, 'stop', { gate: gate.name, file })
    const late = rejection(flow.process(task, { timeout: 1_000 }))
    await gate.visited()
    // Nothing of the client's runs in this loop.
    const end = performance.now() + 30_000
    while (!existsSync(file) && performance.now() < end);
    expect(existsSync(file)).toBe(true)
    expect(await late).toMatchObject({ code: 'AQ_TIMEOUT' })
    rmSync(folder, { recursive: true })
  })

  test('hears that the flow was left by the client', async () => {
    await using gate = await Gate.close()
    const address = newAddress()
    await using flow = await started(
      new Flow([new FlowStep(ListenHandler, { isolation })], { address }),
    )
    const client = new FlowClient({ address, task: ListenTask, logger: silent })
    await client.start()
    const gone = rejection(client.process(new ListenTask(1, 'stop', { gate: gate.name })))
    await gate.visited()
    await client.stop({ graceful: false })
    expect(await gone).toMatchObject({ code: 'AQ_STOPPED' })
    expect(await heardBy(flow)).toEqual([[1, 'AQ_CANCELLED']])
  })

  test('hears of each task of a batch; the others of it are handled to their end', async () => {
    await using gate = await Gate.close()
    await using flow = await listening({ batchSize: 3, batchTimeout: Infinity })
    const callers = [0, 1].map(() => new AbortController())
    const gone = callers.map(({ signal }, id) =>
      rejection(flow.process(new ListenTask(id, 'stop', { gate: gate.name }), { signal })),
    )
    const kept = flow.process(new ListenTask(2))
    await gate.visited(2)
    callers[1]!.abort()
    await gone[1]
    callers[0]!.abort()
    await gone[0]
    const { heard, batch, call } = await kept
    expect(batch).toEqual([0, 1, 2])
    expect(call).toBe(1)
    expect(heard).toEqual(
      new Map([
        [0, 'AQ_CANCELLED'],
        [1, 'AQ_CANCELLED'],
      ]),
    )
  })

  test('hears by the signal of the batch when the last caller has gone', async () => {
    await using gate = await Gate.close()
    await using flow = await listening({ batchSize: 2, batchTimeout: Infinity })
    const callers = [0, 1].map(() => new AbortController())
    const gone = callers.map(({ signal }, id) =>
      rejection(
        flow.process(new ListenTask(id, id === 0 ? 'stop together' : 'stop', { gate: gate.name }), {
          signal,
        }),
      ),
    )
    await gate.visited(2)
    callers[1]!.abort()
    await gone[1]
    callers[0]!.abort()
    await gone[0]
    const [last] = await Promise.all([2, 3].map((id) => flow.process(new ListenTask(id))))
    expect([...last!.heard!].map(([id]) => id)).toEqual([1, 0])
  })

  test.each(['throw', 'sleep'] as const)(
    'and stops by throwing has not failed: nothing is logged, nothing handled again (%s)',
    async (deed) => {
      await using gate = await Gate.close()
      const journal = new Journal()
      await using flow = await listening({}, journal)
      const caller = new AbortController()
      const task = new ListenTask(1, deed, { gate: gate.name })
      const gone = rejection(flow.process(task, { signal: caller.signal }))
      await gate.visited()
      caller.abort()
      await gone
      const after = await flow.process(new ListenTask(2))
      expect(after).toMatchObject({ call: 2 })
      expect([...after.heard!]).toEqual([[1, 'AQ_CANCELLED']])
      expect(journal.count('error')).toBe(0)
      expect(flow.metrics().steps[0]).toMatchObject({ failed: 0 })
    },
  )

  test('and throws for one caller: the others of the batch are handled again without that task', async () => {
    await using gate = await Gate.close()
    await using flow = await listening({ batchSize: 4, batchTimeout: Infinity })
    const caller = new AbortController()
    const gone = rejection(
      flow.process(new ListenTask(0, 'throw', { gate: gate.name }), { signal: caller.signal }),
    )
    const others = [1, 2, 3].map((id) => flow.process(new ListenTask(id)))
    await gate.visited()
    caller.abort()
    await gone
    for (const task of await Promise.all(others))
      expect(task).toMatchObject({ batch: [1, 2, 3], call: 2 })
    expect(flow.stats().tasks).toMatchObject({ completed: 3, cancelled: 1, failed: 0 })
  })

  test('with several batches in its hands hears of each', async () => {
    await using gate = await Gate.close()
    await using flow = await listening({ concurrency: 3 })
    const callers = [0, 1, 2].map(() => new AbortController())
    const gone = callers.map(({ signal }, id) =>
      rejection(flow.process(new ListenTask(id, 'stop', { gate: gate.name }), { signal })),
    )
    await gate.visited(3)
    for (const id of [1, 0, 2]) {
      callers[id]!.abort()
      await gone[id]
    }
    let heard = await heardBy(flow)
    while (heard.length < 3) heard = await heardBy(flow) // others of its batches may be quicker
    expect(new Set(heard.map(([id]) => id))).toEqual(new Set([0, 1, 2]))
  })
})
