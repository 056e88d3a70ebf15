import { getHeapStatistics } from 'node:v8'
import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { SurroundingsHandler, SurroundingsTask } from '../fixtures/surroundings.ts'
import { SyncHandler, WorkHandler, WorkTask } from '../fixtures/work.ts'
import { describeIsolations, living, rejection, started } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

describeIsolations('a step', (isolation) => {
  test('starts its workers with what its options say', async () => {
    await using gate = await Gate.close()
    const args: [number, Map<string, Uint8Array>] = [7, new Map([['a', new Uint8Array([1])]])]
    await using flow = await started(
      new Flow([
        new FlowStep(SurroundingsHandler, {
          isolation,
          args,
          name: 'surroundings',
          nprocs: 2,
          env: { AQUEDUCT_TEST: 'is here' },
          execArgv: ['--no-deprecation'],
          resourceLimits: { maxOldGenerationSizeMb: 64 },
        }),
      ]),
    )
    expect(process.env['AQUEDUCT_TEST']).toBeUndefined()
    const tasks = [0, 1].map(() => flow.process(new SurroundingsTask(gate.name)))
    await gate.visited(2) // one with each worker
    gate.open()
    const found = (await Promise.all(tasks)).map((task) => task.found!)
    expect(found.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual([0, 1])
    for (const { heapBytes, ...rest } of found) {
      expect(rest).toMatchObject({
        args,
        step: 'surroundings',
        env: 'is here',
        execArgv: expect.arrayContaining(['--no-deprecation']),
        isThread: isolation === 'thread',
      })
      expect(heapBytes).toBeLessThan(getHeapStatistics().heap_size_limit)
    }
  })

  test.each([
    ['at once', SyncHandler],
    ['by a promise', WorkHandler],
  ])('has each batch handled by one call, which ends %s', async (_, handler) => {
    await using flow = await started(
      new Flow([new FlowStep(handler, { isolation, batchSize: 3, batchTimeout: Infinity })]),
    )
    const tasks = [0, 1, 2, 3, 4, 5].map((id) => new WorkTask(id))
    await Promise.all(tasks.map((task) => flow.process(task)))
    expect(tasks.map(({ call, batch }) => ({ call, batch }))).toEqual([
      ...[0, 1, 2].map(() => ({ call: 1, batch: [0, 1, 2] })),
      ...[3, 4, 5].map(() => ({ call: 2, batch: [3, 4, 5] })),
    ])
  })

  test('made of a handler alone has the options that a step has by default', async () => {
    expect(new FlowStep(SyncHandler).options).toMatchObject({
      name: 'SyncHandler',
      nprocs: 1,
      batchSize: 1,
      batchTimeout: 0,
      onBatchError: 'split',
      handleCondition: undefined,
      queueSize: 20,
    })
    await using flow = await started(
      new Flow([SyncHandler, new FlowStep(WorkHandler, { isolation })]),
    )
    const { timings } = await flow.process(new WorkTask(1))
    expect(timings?.steps.map(({ step }) => step)).toEqual(['SyncHandler', 'WorkHandler'])
  })
})

test('arguments that cannot be sent to a process fail the start, and leave no worker', async () => {
  const shared = new SharedArrayBuffer(8) as unknown as Uint8Array
  const flow = new Flow([
    new FlowStep(SurroundingsHandler, {
      args: [7, new Map([['a', shared]])],
      name: 'surroundings',
    }),
  ])
  expect(await rejection(flow.start())).toMatchObject({
    name: 'StartError',
    message: expect.stringMatching(/surroundings could not start: .*could not be cloned/),
  })
  expect(living(flow)).toBe(0)
})
