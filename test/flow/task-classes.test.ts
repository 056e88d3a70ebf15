import { describe, expect, test } from 'vitest'
import { Flow, FlowStep, InvalidHandlerError, InvalidTaskError } from '../../src/index.ts'
import {
  AnimalHandler,
  AnimalTask,
  CatHandler,
  CatTask,
  DogTask,
  PetHandler,
} from '../fixtures/kinds.ts'
import { WorkHandler } from '../fixtures/work.ts'
import { describeIsolations, Journal, rejection, started } from '../support/flow.ts'

/** The compiler refuses some of these flows as well. */
const flowOf = (...steps: readonly object[]): Flow<AnimalTask> => new Flow(steps as never)

describe('a flow is refused when it is made', () => {
  test('when a later step does not know a class that an earlier one handles', () => {
    const cats = new FlowStep(CatHandler, { name: 'cats' })
    const make = (): unknown => flowOf(PetHandler, cats)
    expect(make).toThrow(InvalidHandlerError)
    expect(make).toThrow(
      /^step cats: the `task` of CatHandler does not name DogTask, which PetHandler handles: .*handleCondition/,
    )
    expect(make).toThrow(expect.objectContaining({ handler: 'CatHandler' }))
  })

  test('when an earlier step does not know a class that a later one handles', () => {
    expect(() => flowOf(CatHandler, PetHandler)).toThrow(
      'step CatHandler: the `task` of CatHandler does not name DogTask, which PetHandler handles',
    )
  })

  test('when its steps have no class in common', () => {
    expect(() => flowOf(CatHandler, WorkHandler)).toThrow(
      'step WorkHandler: the `task` of WorkHandler does not name CatTask',
    )
  })
})

describeIsolations('a flow', (isolation) => {
  const step = (
    handler: typeof AnimalHandler | typeof PetHandler | typeof CatHandler,
    options = {},
  ): object => new FlowStep(handler as typeof CatHandler, { isolation, ...options })

  test('whose steps know more and more of a task takes those that all of them know', async () => {
    await using flow = await started(flowOf(step(AnimalHandler), step(CatHandler)))
    const { seenBy } = await flow.process(new CatTask('cat'))
    expect(seenBy).toEqual(['AnimalHandler', 'CatHandler 9'])
    const refused = await rejection(flow.process(new AnimalTask('cat')))
    expect(refused).toBeInstanceOf(InvalidTaskError)
    expect(refused).toMatchObject({
      code: 'AQ_INVALID_TASK',
      message: expect.stringContaining('the flow handles tasks of CatTask, not a AnimalTask'),
    })
  })

  test('with a step that not all tasks pass: one that comes there all the same fails, and says so', async () => {
    await using flow = await started(
      new Flow<AnimalTask>(
        [step(PetHandler), step(CatHandler, { name: 'cats', handleCondition: 'saysCat' })] as never,
        { logger: new Journal() },
      ),
    )
    expect((await flow.process(new CatTask('cat'))).seenBy).toEqual(['PetHandler', 'CatHandler 9'])
    expect((await flow.process(new DogTask('dog'))).seenBy).toEqual(['PetHandler'])
    const error = await rejection(flow.process(new DogTask('cat')))
    expect(error).toBeInstanceOf(InvalidTaskError)
    expect(error).toMatchObject({
      code: 'AQ_INVALID_TASK',
      message: expect.stringMatching(
        /^step cats got a task of DogTask, which CatHandler does not name in its `task`/,
      ),
    })
    expect(flow.stats().tasks).toMatchObject({ completed: 2, failed: 1, pending: 0 })
    expect(flow.stats().workers.map(({ restarts }) => restarts)).toEqual([0, 0])
  })
})
