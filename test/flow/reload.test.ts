import { describe, expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { GenerationHandler, GenerationTask } from '../fixtures/generations.ts'
import { Journal, describeIsolations, rejection, started, survivors } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

const workersOf = (flow: Flow<GenerationTask>) =>
  flow.stats().workers.map(({ index, pid, state }) => ({ index, pid, state }))

describeIsolations('flow.reload()', (isolation) => {
  const step = (options = {}) =>
    new FlowStep(GenerationHandler, {
      isolation,
      nprocs: 2,
      batchSize: 8,
      ...options,
      args: ['first'],
    })

  test('replaces the model under load: no request fails, and both generations are seen', async () => {
    const generations = step()
    await using flow = await started(new Flow<GenerationTask>([generations]))
    const former = flow.stats().workers.map(({ pid }) => pid)
    const seen = new Map<string, number>()
    let last = ''
    let isReloaded = false
    let after = 0
    const client = async (): Promise<void> => {
      while (after < 3_000) {
        const { generation } = await flow.process(new GenerationTask(), { timeout: 60_000 })
        last = generation!
        seen.set(last, (seen.get(last) ?? 0) + 1)
        if (isReloaded) after++
      }
    }
    const clients = Array.from({ length: 32 }, client)
    while ((seen.get('first') ?? 0) < 3_000) {
      await flow.process(new GenerationTask(), { timeout: 60_000 })
    }
    const reload = async (): Promise<void> => {
      await flow.reload(generations, { args: ['second'] })
      isReloaded = true
    }
    await Promise.all([...clients, reload()])
    const { admitted, completed, failed, pending } = flow.stats().tasks
    expect({ failed, pending }).toEqual({ failed: 0, pending: 0 })
    expect(completed).toBe(admitted)
    expect(completed).toBeGreaterThanOrEqual(6_000)
    expect([...seen.keys()].toSorted()).toEqual(['first', 'second'])
    expect(last).toBe('second')
    const { workers } = flow.stats()
    expect(workers.map(({ index, state }) => [index, state])).toEqual([
      [0, 'running'],
      [1, 'running'],
    ])
    expect(survivors(former)).toEqual([])
  })

  test('the new workers warm up beside the old ones, which go on until all are ready', async () => {
    await using gate = await Gate.close()
    await using flow = await started(new Flow<GenerationTask>([step()]))
    const reload = flow.reload('GenerationHandler', { args: ['second', { gate: gate.name }] })
    await gate.visited(2)
    expect((await flow.process(new GenerationTask())).generation).toBe('first')
    expect(workersOf(flow).map(({ index, state }) => [index, state])).toEqual([
      [0, 'running'],
      [1, 'running'],
      [0, 'starting'],
      [1, 'starting'],
    ])
    gate.open()
    await reload
    expect((await flow.process(new GenerationTask())).generation).toBe('second')
  })

  test('an old worker finishes the batch that it has', async () => {
    await using gate = await Gate.close()
    await using flow = await started(new Flow<GenerationTask>([step({ nprocs: 1 })]))
    const slow = flow.process(new GenerationTask(gate.name), { timeout: Infinity })
    await gate.visited()
    const reload = flow.reload(GenerationHandler, { args: ['second'] })
    while (!workersOf(flow).some(({ state }) => state === 'ending'))
      await flow.process(new GenerationTask(), { timeout: Infinity })
    expect((await flow.process(new GenerationTask())).generation).toBe('second')
    gate.open()
    expect((await slow).generation).toBe('first')
    await reload
    expect(workersOf(flow)).toHaveLength(1)
  })

  test('an old worker that never finishes is ended, and its task is run by a new one', async () => {
    await using gate = await Gate.close()
    await using flow = await started(new Flow<GenerationTask>([step({ nprocs: 1 })]))
    const stuck = flow.process(new GenerationTask(gate.name), { timeout: Infinity })
    await gate.visited()
    await flow.reload(GenerationHandler, { args: ['second'], drainTimeout: 50 })
    await gate.visited(2)
    gate.open()
    expect((await stuck).generation).toBe('second')
    expect((await flow.process(new GenerationTask())).generation).toBe('second')
  })

  test.each(['throws', 'exits', 'never'] as const)(
    'when a new worker cannot start (it %s), the old ones go on',
    async (ends) => {
      const journal = new Journal()
      await using flow = await started(new Flow<GenerationTask>([step()], { logger: journal }))
      const before = workersOf(flow)
      const error = await rejection(
        flow.reload(GenerationHandler, {
          args: ['second', { failing: 1, ends }],
          timeout: ends === 'never' ? 1_500 : 30_000,
        }),
      )
      expect(error).toMatchObject({
        name: 'StartError',
        code: ends === 'never' ? 'AQ_START_TIMEOUT' : 'AQ_START_FAILED',
      })
      expect(workersOf(flow)).toEqual(before)
      expect(journal.entries.filter(({ level }) => level === 'warn')).toEqual([])
      const tasks = Array.from({ length: 50 }, () => flow.process(new GenerationTask()))
      for (const { generation } of await Promise.all(tasks)) expect(generation).toBe('first')
      // Another attempt may succeed.
      await flow.reload(GenerationHandler, { args: ['third'] })
      expect((await flow.process(new GenerationTask())).generation).toBe('third')
    },
  )

  test('reloads of a step happen one after another, without args as it was', async () => {
    const generations = step({ nprocs: 1 })
    await using flow = await started(new Flow<GenerationTask>([generations]))
    await Promise.all([
      flow.reload(generations, { args: ['second'] }),
      flow.reload(generations, { args: ['third'] }),
      flow.reload(generations),
    ])
    expect((await flow.process(new GenerationTask())).generation).toBe('third')
    expect(workersOf(flow)).toHaveLength(1)
  })

  test('the new arguments stay when the flow is stopped and started again', async () => {
    await using flow = await started(new Flow<GenerationTask>([step({ nprocs: 1 })]))
    await flow.reload(GenerationHandler, { args: ['second'] })
    await flow.stop()
    await flow.start()
    expect((await flow.process(new GenerationTask())).generation).toBe('second')
  })

  test('a flow that is stopped meanwhile leaves no worker', async () => {
    await using gate = await Gate.close()
    const flow = await started(new Flow<GenerationTask>([step()]))
    const reload = rejection(
      flow.reload(GenerationHandler, { args: ['second', { gate: gate.name }] }),
    )
    await gate.visited(2)
    const pids = workersOf(flow).map(({ pid }) => pid)
    await flow.stop()
    expect(await reload).toMatchObject({ code: 'AQ_START_FAILED' })
    expect(survivors(pids)).toEqual([])
    expect(await rejection(flow.reload(GenerationHandler))).toMatchObject({
      code: 'AQ_NOT_RUNNING',
    })
  })
})

test('a worker that dies after a reload is replaced by one of the new generation', async () => {
  const journal = new Journal()
  await using flow = await started(
    new Flow<GenerationTask>([new FlowStep(GenerationHandler, { args: ['first'] })], {
      logger: journal,
    }),
  )
  await flow.reload(GenerationHandler, { args: ['second'] })
  process.kill(workersOf(flow)[0]!.pid, 'SIGKILL')
  await journal.reached('info', 1)
  expect((await flow.process(new GenerationTask())).generation).toBe('second')
})

describe('the arguments of flow.reload()', () => {
  test('must name a step of the flow', async () => {
    const flow = new Flow<GenerationTask>([new FlowStep(GenerationHandler, { args: ['first'] })])
    expect(await rejection(flow.reload('Generations'))).toMatchObject({
      code: 'AQ_INVALID_OPTION',
      message: 'the flow has no such step; its steps are GenerationHandler',
    })
    expect(await rejection(flow.reload(GenerationHandler, { arg: ['x'] } as object))).toMatchObject(
      { code: 'AQ_INVALID_OPTION', option: 'arg' },
    )
  })
})
