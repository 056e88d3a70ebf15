import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Flow, FlowStep, type HandlerError } from '../../src/index.ts'
import { type Kind, PassHandler, ThrowHandler, ThrowTask } from '../fixtures/errors.ts'
import { SyncHandler, WorkHandler, WorkTask, WritingHandler } from '../fixtures/work.ts'
import { describeIsolations, rejection, started } from '../support/flow.ts'

describeIsolations('a handler that throws', (isolation) => {
  const throwing = (): Promise<Flow<ThrowTask>> =>
    started(new Flow([new FlowStep(ThrowHandler, { isolation })], { memory: 2 ** 20 }))

  test.each<Kind>(['error', 'rejection'])(
    'fails its task with HandlerError, whose cause has name, message, code and the stack of the worker (%s)',
    async (kind) => {
      await using flow = await throwing()
      const error = (await rejection(flow.process(new ThrowTask(kind)))) as HandlerError
      expect(error).toMatchObject({
        name: 'HandlerError',
        code: 'AQ_HANDLER_FAILED',
        message: 'step ThrowHandler failed: NotFoundError: no such model',
        cause: {
          name: 'NotFoundError',
          message: 'no such model',
          code: 'E_NOT_FOUND',
          stack: expect.stringMatching(/at findModel .*fixtures\/errors\.ts/),
        },
      })
      expect(error.cause).toBeInstanceOf(Error)
      expect(flow.stats().tasks).toMatchObject({ admitted: 1, failed: 1, pending: 0 })
      expect(flow.stats().memory.blocksInUse).toBe(0)
    },
  )

  test('whatever it throws reaches the caller as an error, and the worker goes on', async () => {
    await using flow = await throwing()
    const failure = async (kind: Kind): Promise<HandlerError> =>
      (await rejection(flow.process(new ThrowTask(kind)))) as HandlerError
    expect(await failure('caused')).toMatchObject({
      cause: { message: 'outer', cause: { message: 'inner' } },
    })
    expect((await failure('string')).message).toBe('step ThrowHandler failed: just a string')
    expect((await failure('undefined')).message).toBe('step ThrowHandler failed: undefined')
    expect((await failure('heavy')).message).toBe('step ThrowHandler failed: Error: with baggage')
    expect((await failure('huge')).message).toMatch(/^step ThrowHandler failed: Error: huge xxx/)
    for (let round = 0; round < 50; round++) await failure('huge')
    expect(flow.stats().workers).toMatchObject([{ restarts: 0 }])
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test.each([
    ['a promise that rejects', WorkHandler],
    ['an exception', SyncHandler],
  ])(
    'one culprit in a batch of 8 fails alone, within 2·log2(8) + 1 further calls (%s)',
    async (_how, handler) => {
      await using flow = await started(
        new Flow([new FlowStep(handler, { isolation, batchSize: 8, batchTimeout: Infinity })]),
      )
      let callsBefore = 0
      for (let culprit = 0; culprit < 8; culprit++) {
        const tasks = Array.from(
          { length: 8 },
          (_, id) => new WorkTask(id, id === culprit ? { throws: `I am ${id}` } : {}),
        )
        const outcomes = await Promise.allSettled(tasks.map((task) => flow.process(task)))
        expect(outcomes.map(({ status }) => status)).toEqual(
          tasks.map(({ id }) => (id === culprit ? 'rejected' : 'fulfilled')),
        )
        expect((outcomes[culprit] as PromiseRejectedResult).reason).toMatchObject({
          code: 'AQ_HANDLER_FAILED',
          cause: { name: 'RangeError', message: `I am ${culprit}` },
        })
        for (const { id, batch } of tasks) expect(batch ?? [culprit]).toContain(id)
        const [after] = await Promise.all(
          Array.from({ length: 8 }, (_, id) => flow.process(new WorkTask(id))),
        )
        const calls = after!.call! - callsBefore - 1
        expect(calls).toBeLessThanOrEqual(1 + 2 * Math.log2(8) + 1)
        callsBefore = after!.call!
      }
    },
  )

  test('a batch in which every task is bad is not amplified', async () => {
    await using flow = await started(
      new Flow([new FlowStep(SyncHandler, { isolation, batchSize: 64, batchTimeout: Infinity })]),
    )
    const errors = await Promise.all(
      Array.from({ length: 64 }, (_, id) =>
        rejection(flow.process(new WorkTask(id, { throws: 'bad' }))),
      ),
    )
    for (const error of errors) expect(error).toMatchObject({ cause: { message: 'bad' } })
    const [after] = await Promise.all(
      Array.from({ length: 64 }, (_, id) => flow.process(new WorkTask(id))),
    )
    expect(after!.call! - 2).toBeLessThanOrEqual(2 * Math.log2(64) + 1)
  })

  test('whoever the culprits of a batch are: each task ends once, and the innocent have the result of a call that succeeded', async () => {
    const size = 24
    const mostCalls = 1 + 2 * Math.ceil(Math.log2(size)) + 1
    await using flow = await started(
      new Flow([new FlowStep(SyncHandler, { isolation, batchSize: size, batchTimeout: Infinity })]),
    )
    const processAll = (bad: ReadonlySet<number>) =>
      Promise.allSettled(
        Array.from({ length: size }, (_, id) =>
          flow.process(new WorkTask(id, bad.has(id) ? { throws: `I am ${id}` } : {})),
        ),
      )
    let lastCall = 0
    let failed = 0
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(size - 1), { maxLength: size }), async (culprits) => {
        const bad = new Set(culprits)
        const outcomes = await processAll(bad)
        const good = outcomes.flatMap((it) => (it.status === 'fulfilled' ? [it.value] : []))
        const errors = outcomes.flatMap((it) => (it.status === 'rejected' ? [it.reason] : []))
        for (const error of errors) expect(error).toMatchObject({ code: 'AQ_HANDLER_FAILED' })
        for (const { id, batch } of good) {
          expect(batch).toContain(id)
          expect(batch!.filter((other) => bad.has(other))).toEqual([])
        }
        expect(errors.length).toBeGreaterThanOrEqual(bad.size)
        expect(errors.length).toBeLessThanOrEqual(bad.size === 1 ? 1 : size)
        failed += errors.length
        const [after] = await processAll(new Set())
        const { call } = (after as PromiseFulfilledResult<WorkTask>).value
        expect(call! - lastCall - 1).toBeLessThanOrEqual(mostCalls)
        lastCall = call!
      }),
      { numRuns: 40 },
    )
    const { tasks } = flow.stats()
    expect(tasks).toMatchObject({ failed, pending: 0 })
    expect(tasks.completed + tasks.failed).toBe(tasks.admitted)
  })

  test("with onBatchError 'fail' a batch that throws fails as a whole, after one call", async () => {
    await using flow = await started(
      new Flow([
        new FlowStep(WorkHandler, {
          isolation,
          batchSize: 4,
          batchTimeout: Infinity,
          onBatchError: 'fail',
        }),
      ]),
    )
    const errors = await Promise.all(
      [0, 1, 2, 3].map((id) =>
        rejection(flow.process(new WorkTask(id, id === 2 ? { throws: 'bad' } : {}))),
      ),
    )
    for (const error of errors) expect(error).toMatchObject({ cause: { message: 'bad' } })
    const tasks = await Promise.all([4, 5, 6, 7].map((id) => flow.process(new WorkTask(id))))
    expect(tasks.map(({ call }) => call)).toEqual([2, 2, 2, 2])
  })

  test('a handler that writes into its input is not called twice: its whole batch fails', async () => {
    await using flow = await started(
      new Flow([new FlowStep(WritingHandler, { isolation, batchSize: 4, batchTimeout: Infinity })]),
    )
    const errors = await Promise.all(
      [0, 1, 2, 3].map((id) =>
        rejection(flow.process(new WorkTask(id, id === 2 ? { throws: 'bad' } : {}))),
      ),
    )
    for (const error of errors) expect(error).toMatchObject({ cause: { message: 'bad' } })
    const tasks = await Promise.all([4, 5, 6, 7].map((id) => flow.process(new WorkTask(id))))
    expect(tasks.map(({ call }) => call)).toEqual([2, 2, 2, 2])
  })

  test('what the handler of a later step throws fails the task as well', async () => {
    await using flow = await started(
      new Flow([
        new FlowStep(PassHandler, { isolation }),
        new FlowStep(ThrowHandler, { isolation }),
        new FlowStep(PassHandler, { isolation }),
      ]),
    )
    expect(await rejection(flow.process(new ThrowTask('error')))).toMatchObject({
      code: 'AQ_HANDLER_FAILED',
      cause: { message: 'no such model' },
    })
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })
})
