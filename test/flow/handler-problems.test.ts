import { expect, test } from 'vitest'
import {
  type AqueductError,
  Flow,
  FlowStep,
  InvalidHandlerError,
  isFlowWorker,
} from '../../src/index.ts'
import { InheritsUrl } from '../fixtures/handlers/inherits-url.ts'
import { ThrowsOnImport } from '../fixtures/handlers/throws-on-import.ts'
import { secret } from '../fixtures/handlers/unexported.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import {
  describeIsolations,
  living,
  rejection,
  started,
  survivors,
  pidsOf,
} from '../support/flow.ts'

const handlers = new URL('../fixtures/handlers/', import.meta.url)

/** A class that the test may not import: doing so would start a flow here too. It is known by name and place. */
function standIn(className: string, file: string): typeof WorkHandler {
  const url = new URL(file, handlers).href
  const named = { [className]: class extends WorkHandler {} }
  return Object.assign(named[className]!, { url })
}

async function failedStart(flow: Flow<never>): Promise<AqueductError> {
  const starting = rejection(flow.start({ timeout: 20_000 }))
  const pids = pidsOf(flow)
  const error = await starting
  expect(flow.state).toBe('stopped')
  expect(living(flow)).toBe(0)
  expect(survivors(pids)).toEqual([])
  return error as AqueductError
}

describeIsolations('a handler that workers cannot use', (isolation) => {
  const flowOf = (handler: unknown): Flow<never> =>
    new Flow<never>([new FlowStep(handler as typeof WorkHandler, { isolation, nprocs: 2 })])

  test('a class without a url of its own is refused when the step is made', () => {
    const { url: _, ...statics } = { url: WorkHandler.url, task: WorkTask }
    const Nowhere = Object.assign(
      class Nowhere {
        handle(): void {}
      },
      statics,
    )
    expect(() => flowOf(Nowhere)).toThrow(InvalidHandlerError)
    expect(() => flowOf(Nowhere)).toThrow('static readonly url = import.meta.url')
  })

  test('an inherited url names another module, and is refused', () => {
    expect(() => flowOf(InheritsUrl)).toThrow('an inherited one names another module')
  })

  test('an instance of a handler, a function and nothing at all are refused', () => {
    expect(() => flowOf(new WorkHandler())).toThrow('not an instance of one')
    expect(() => flowOf(() => undefined)).toThrow(InvalidHandlerError)
    expect(() => flowOf(undefined)).toThrow(InvalidHandlerError)
  })

  test('a class without handle() or without task is refused', () => {
    const url = import.meta.url
    expect(() =>
      flowOf(
        Object.assign(
          class Idle {
            run(): void {}
          },
          { url, task: WorkTask },
        ),
      ),
    ).toThrow('Idle has no method handle(tasks)')
    expect(() =>
      flowOf(
        Object.assign(
          class Lost {
            handle(): void {}
          },
          { url },
        ),
      ),
    ).toThrow('static readonly task = MyTask')
  })

  test('a class that its module does not export is named, and what the module exports', async () => {
    const error = await failedStart(flowOf(secret.UnexportedHandler))
    expect(error).toMatchObject({
      name: 'InvalidHandlerError',
      code: 'AQ_INVALID_HANDLER',
      handler: 'UnexportedHandler',
    })
    expect(error.message).toContain('does not export the class UnexportedHandler')
    expect(error.message).toContain('Task, secret')
  })

  test('a module that does not exist is named', async () => {
    const error = await failedStart(flowOf(standIn('Missing', 'missing.ts')))
    expect(error).toMatchObject({
      code: 'AQ_START_FAILED',
      cause: { code: 'ERR_MODULE_NOT_FOUND' },
    })
    expect(error.message).toContain('missing.ts')
  })

  test('what a module throws when a worker imports it is the cause of the StartError', async () => {
    const error = await failedStart(flowOf(ThrowsOnImport))
    expect(error).toMatchObject({
      code: 'AQ_START_FAILED',
      message: 'step ThrowsOnImport could not start: the weights are not where they should be',
      cause: { name: 'RangeError', stack: expect.stringContaining('findWeights') },
    })
  })

  test.each([
    ['does not wait for it', 'StartsUnawaited', 'starts-unawaited.ts'],
    ['waits for it', 'StartsAwaited', 'starts-awaited.ts'],
    ['swallows its error', 'StartsSwallowed', 'starts-swallowed.ts'],
  ])(
    'a module that starts a flow when a worker imports it, and %s, is a clear error',
    async (_, className, file) => {
      const error = await failedStart(flowOf(standIn(className, file)))
      expect(error).toMatchObject({ name: 'StartError', code: 'AQ_FLOW_IN_WORKER' })
      expect(error.message).toContain(className)
      expect(error.message).toContain('guard the start with isFlowWorker()')
    },
  )

  test('a module guarded by isFlowWorker() works', async () => {
    expect(isFlowWorker()).toBe(false)
    const flow = await started(flowOf(standIn('StartsGuarded', 'starts-guarded.ts')))
    expect(flow.isRunning).toBe(true)
    await flow.stop()
  })
})
