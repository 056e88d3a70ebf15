import { expect, test } from 'vitest'
import { Flow, type FlowOptions, FlowStep, InputWrittenError } from '../../src/index.ts'
import { DeclaredHandler, InPlaceHandler, LateHandler, PicturesTask } from '../fixtures/written.ts'
import { describeIsolations, Journal, rejection, started } from '../support/flow.ts'

describeIsolations('a flow that checks inputs', (isolation) => {
  const checking = (
    Handler = InPlaceHandler,
    batchSize = 1,
    options: FlowOptions = { checkInputs: true },
  ): Promise<Flow<PicturesTask>> =>
    started(
      new Flow([new FlowStep(Handler, { isolation, batchSize, batchTimeout: Infinity })], {
        logger: new Journal(),
        ...options,
      }),
    )

  test.each([
    ['image', 'image'],
    ['part', 'parts[1].pixels'],
    ['mask', 'masks[sky]'],
  ] as const)(
    'names the handler that writes into its input and does not say so (%s)',
    async (deed, field) => {
      for (const Handler of [InPlaceHandler, LateHandler]) {
        await using flow = await checking(Handler)
        const error = await rejection(flow.process(new PicturesTask(0, deed)))
        expect(error).toBeInstanceOf(InputWrittenError)
        expect(error).toMatchObject({
          code: 'AQ_INPUT_WRITTEN',
          step: Handler.name,
          handler: Handler.name,
          task: 'PicturesTask',
          field,
          message: expect.stringMatching(
            /^\w+Handler of step \w+ writes into '.*' of PicturesTask: .*writesInput = true/,
          ),
        })
        expect(flow.stats().tasks).toMatchObject({ failed: 1, pending: 0 })
        expect(flow.stats().memory.blocksInUse).toBe(0)
      }
    },
  )

  test('fails all of the batch, which is not handled again, also when the handler throws', async () => {
    await using flow = await checking(InPlaceHandler, 3)
    for (const deed of ['image', 'image, throws'] as const) {
      const errors = await Promise.all(
        [0, 1, 2].map((id) =>
          rejection(flow.process(new PicturesTask(id, id === 1 ? deed : 'read'))),
        ),
      )
      for (const error of errors)
        expect(error).toMatchObject({ code: 'AQ_INPUT_WRITTEN', field: 'image' })
    }
    const tasks = await Promise.all([0, 1, 2].map((id) => flow.process(new PicturesTask(id))))
    expect(tasks.map(({ call }) => call)).toEqual([3, 3, 3])
  })

  test('says what the handler threw besides', async () => {
    await using flow = await checking()
    expect(await rejection(flow.process(new PicturesTask(0, 'image, throws')))).toMatchObject({
      code: 'AQ_INPUT_WRITTEN',
      cause: { name: 'RangeError', message: 'after the write' },
    })
    using after = await flow.process(new PicturesTask(1))
    expect(after.call).toBe(2)
  })

  test.each(['read', 'replace'] as const)('leaves others alone (%s)', async (deed) => {
    await using flow = await checking()
    using task = await flow.process(new PicturesTask(0, deed))
    expect(task.sum).toBe(100_000)
  })

  test('leaves a handler alone that says that it writes', async () => {
    await using flow = await checking(DeclaredHandler)
    using task = await flow.process(new PicturesTask(0, 'image'))
    expect(task.image[99_999]).toBe(2)
  })

  test('is every flow of these tests that does not say otherwise', async () => {
    await using flow = await checking(InPlaceHandler, 1, {})
    expect(await rejection(flow.process(new PicturesTask(0, 'image')))).toMatchObject({
      code: 'AQ_INPUT_WRITTEN',
    })
  })

  test('is one that was asked to: otherwise nothing is compared', async () => {
    await using flow = await checking(InPlaceHandler, 1, { checkInputs: false })
    using task = await flow.process(new PicturesTask(0, 'image'))
    expect(task.image[99_999]).toBe(2)
  })
})
