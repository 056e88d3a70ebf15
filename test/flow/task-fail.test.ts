import { expect, test } from 'vitest'
import {
  Flow,
  FlowStep,
  type FlowStepOptions,
  type HandlerError,
  InvalidTaskError,
} from '../../src/index.ts'
import {
  AsyncJudgeHandler,
  JudgeHandler,
  SeeingHandler,
  VerdictTask,
  WritingJudgeHandler,
} from '../fixtures/verdicts.ts'
import { describeIsolations, Journal, pidsOf, rejection, started } from '../support/flow.ts'

test('outside of a handler task.fail() throws', () => {
  const task = new VerdictTask(0)
  const fail = (): void => task.fail(new Error('nobody would hear'))
  expect(fail).toThrow(InvalidTaskError)
  expect(fail).toThrow(expect.objectContaining({ code: 'AQ_NOT_IN_HANDLER' }))
})

describeIsolations('a handler that fails a task', (isolation) => {
  const judging = (
    size: number,
    options: FlowStepOptions<VerdictTask> = {},
    Handler = JudgeHandler,
    logger = new Journal(),
  ): Promise<Flow<VerdictTask>> =>
    started(
      new Flow(
        [
          new FlowStep(Handler, {
            isolation,
            batchSize: size,
            batchTimeout: Infinity,
            ...options,
          }),
          new FlowStep(SeeingHandler, { isolation, batchSize: size }),
        ],
        { logger },
      ),
    )

  test.each([
    ['', JudgeHandler],
    [', later', AsyncJudgeHandler],
  ])('fails that one alone, and is called once%s', async (_when, Handler) => {
    const journal = new Journal()
    await using flow = await judging(3, {}, Handler, journal)
    const [first, bad, last] = [0, 1, 2].map(
      (id) => new VerdictTask(id, id === 1 ? 'fail' : 'pass'),
    )
    const processed = [first!, bad!, last!].map((task) => flow.process(task))
    const failed = rejection(processed[1]!)
    const good = await Promise.all([processed[0]!, processed[2]!])
    for (const task of good) expect(task).toMatchObject({ batch: [0, 1, 2] })

    const error = (await failed) as HandlerError
    expect(error).toMatchObject({
      name: 'HandlerError',
      code: 'AQ_HANDLER_FAILED',
      message: `step ${Handler.name} failed: UnreadableError: picture 1 is damaged`,
      step: Handler.name,
      handler: Handler.name,
      worker: 0,
      pid: pidsOf(flow)[0],
      cause: {
        name: 'UnreadableError',
        code: 'E_UNREADABLE',
        stack: expect.stringMatching(/at judge .*fixtures\/verdicts\.ts/),
      },
    })
    expect(bad!.batch).toBeUndefined() // after a failure the fields are those of before

    expect(flow.stats().tasks).toMatchObject({ admitted: 3, completed: 2, failed: 1, pending: 0 })
    expect(flow.metrics().steps[0]).toMatchObject({ failed: 1 })
    expect(flow.metrics().steps[0]!.batchTasks).toMatchObject({ count: 1, sum: 3 })
    await journal.reached('error', 1)
    expect(journal.of('error')[0]).toMatchObject({
      data: { tasks: 1, err: { code: 'E_UNREADABLE' } },
    })
    for (const task of good) task.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('no later step sees it', async () => {
    await using flow = await judging(2)
    const failed = rejection(flow.process(new VerdictTask(0, 'fail')))
    await flow.process(new VerdictTask(1))
    await failed
    const [last] = await Promise.all([2, 3].map((id) => flow.process(new VerdictTask(id))))
    expect(last!.seen).not.toContain(0)
    expect(last!.seen).toContain(1)
  })

  test('can fail all of a batch', async () => {
    await using flow = await judging(4)
    const errors = await Promise.all(
      [0, 1, 2, 3].map((id) => rejection(flow.process(new VerdictTask(id, 'fail')))),
    )
    errors.forEach((error, id) =>
      expect(error).toMatchObject({ cause: { message: `picture ${id} is damaged` } }),
    )
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('the first error counts', async () => {
    await using flow = await judging(1)
    expect(await rejection(flow.process(new VerdictTask(0, 'fail twice')))).toMatchObject({
      cause: { name: 'UnreadableError' },
    })
  })

  test('once it has ended, that means nothing, to the task that it kept and to others', async () => {
    await using flow = await judging(1)
    using kept = await flow.process(new VerdictTask(0, 'keep'))
    expect(kept).toMatchObject({ batch: [0] })
    for (let id = 1; id < 4; id++) {
      using task = await flow.process(new VerdictTask(id))
      expect(task.batch).toEqual([id])
    }
    expect(flow.stats().tasks).toMatchObject({ completed: 4, failed: 0 })
  })

  test('and throws: the batch is handled again, and only what is said then counts', async () => {
    await using flow = await judging(4)
    const deeds = ['pass', 'poison', 'fail', 'keep'] as const
    const outcomes = await Promise.allSettled(
      deeds.map((deed, id) => flow.process(new VerdictTask(id, deed))),
    )
    expect(outcomes).toMatchObject([
      { value: { batch: [0] } },
      { reason: { cause: { name: 'TypeError', message: 'poison' } } },
      { reason: { cause: { name: 'UnreadableError' } } },
      // That of the first attempt was failed all the time.
      { value: { batch: [2, 3] } },
    ])
    expect(flow.stats().tasks).toMatchObject({ completed: 2, failed: 2, pending: 0 })
  })

  test.each([
    ['of a step that does not split', { onBatchError: 'fail' }, JudgeHandler],
    ['of a handler that writes into its input', {}, WritingJudgeHandler],
  ] as const)(
    'and throws: in the batch %s each has the error that was said of it first',
    async (_which, options, Handler) => {
      await using flow = await judging(3, options, Handler)
      const errors = await Promise.all(
        (['pass', 'fail', 'poison'] as const).map((deed, id) =>
          rejection(flow.process(new VerdictTask(id, deed))),
        ),
      )
      expect(errors).toMatchObject([
        { cause: { message: 'poisoned' } },
        { cause: { name: 'UnreadableError' } },
        { cause: { message: 'poisoned' } },
      ])
    },
  )
})
