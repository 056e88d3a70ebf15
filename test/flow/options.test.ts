import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { BaseTask, Flow, FlowStep, InvalidOptionError } from '../../src/index.ts'
import { First, PickyTask } from '../fixtures/conditions.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { rejection, started } from '../support/flow.ts'

const step = (options: object): FlowStep<WorkTask> => new FlowStep(WorkHandler, options)
const steps = (...nprocs: number[]): FlowStep<WorkTask>[] =>
  nprocs.map((each) => step({ nprocs: each }))

describe('options', () => {
  test.each([
    [{ batchsize: 4 }, "did you mean 'batchSize'?"],
    [{ batch_size: 4 }, "did you mean 'batchSize'?"],
    [{ nproc: 4 }, "did you mean 'nprocs'?"],
    [{ handler_condition: 'x' }, "did you mean 'handleCondition'?"],
    [{ colour: 'red' }, 'it has name, nprocs'],
  ])('an unknown option of a step is refused, the right one named: %o', (options, way) => {
    expect(() => step(options)).toThrow(InvalidOptionError)
    expect(() => step(options)).toThrow(way)
    expect(() => step(options)).toThrow(`no option '${Object.keys(options)[0]}'`)
  })

  test.each([
    [{ nprocs: 0 }, 'not 0'],
    [{ nprocs: 1.5 }, 'not 1.5'],
    [{ nprocs: '2' }, "not '2'"],
    [{ nprocs: 257 }, 'an integer from 1 to 256'],
    [{ batchSize: Number.NaN }, 'not NaN'],
    [{ batchTimeout: -1 }, 'at least 0'],
    [{ onBatchError: 'retry' }, "'split' or 'fail', not 'retry'"],
    [{ queueSize: 0 }, 'an integer of at least 1'],
    [{ isolation: 'fiber' }, "'process' or 'thread', not 'fiber'"],
    [{ name: '' }, 'a non-empty string'],
    [{ concurrency: 0 }, 'an integer from 1 to 1024'],
    [{ args: 'x' }, "an array of values that can be cloned, not 'x'"],
    [{ args: [() => 1] }, 'an array of values that can be cloned'],
    [{ env: null }, 'an object, not null'],
  ])('a value of a step that makes no sense is refused with the reason: %o', (options, message) => {
    expect(() => step(options)).toThrow(InvalidOptionError)
    expect(() => step(options)).toThrow(message)
    expect(() => step(options)).toThrow(
      expect.objectContaining({ option: Object.keys(options)[0] }),
    )
  })

  test.each([
    [{ memory: 100 }, 'at least 4096'],
    [{ maxPending: 0 }, 'an integer from 1'],
    [{ queuePriorities: 33 }, 'an integer from 1 to 32'],
    [{ priorityAgeing: -1 }, 'at least 0 (Infinity for no limit), not -1'],
    [{ priorityAgeing: Number.NaN }, 'not NaN'],
    [{ priorityAging: 5 }, "did you mean 'priorityAgeing'?"],
    [{ spin: Infinity }, 'a finite number'],
    [{ maxpending: 5 }, "did you mean 'maxPending'?"],
    [{ logger: 'console' }, 'an object'],
  ])('a value of a flow that makes no sense is refused with the reason: %o', (options, message) => {
    expect(() => new Flow([WorkHandler], options as object)).toThrow(InvalidOptionError)
    expect(() => new Flow([WorkHandler], options as object)).toThrow(message)
  })

  test('an option that is undefined counts as not given', () => {
    expect(step({ nprocs: undefined, batchSize: undefined }).options).toMatchObject({
      nprocs: 1,
      batchSize: 1,
    })
  })

  test('resolved options are frozen, and the queue holds three batches, at least 20 tasks', () => {
    expect(step({ batchSize: 16 }).options.queueSize).toBe(48)
    expect(step({ batchSize: 2 }).options.queueSize).toBe(20)
    expect(Object.isFrozen(step({}).options)).toBe(true)
  })

  test('a flow without steps is refused', () => {
    expect(() => new Flow([])).toThrow('a flow needs at least one step')
    expect(() => new Flow(undefined as never)).toThrow(InvalidOptionError)
  })

  test('more workers than a flow has numbers for are refused', () => {
    expect(() => new Flow(steps(256, 256))).toThrow(
      'the flow: its steps may have 511 workers in all, not 512',
    )
    expect(() => new Flow(steps(256, 200), { address: 'many', maxClients: 255 })).toThrow(
      'the flow: its steps may have 384 workers in all beside 255 clients, not 456',
    )
    expect(new Flow(steps(256, 255)).state).toBe('created')
  })

  test('a condition that names no method of the task is refused', () => {
    for (const handleCondition of ['wantsForth', 'seen', 'toString2'])
      expect(() => new FlowStep(First, { handleCondition } as never)).toThrow(
        `'handleCondition' must be the name of a method of PickyTask, not '${handleCondition}'`,
      )
  })

  test('options of start(), stop() and process() are checked', async () => {
    const flow = new Flow([WorkHandler])
    expect(await rejection(flow.start({ timout: 5 } as object))).toMatchObject({
      code: 'AQ_INVALID_OPTION',
      message: "start() has no option 'timout'; did you mean 'timeout'?",
    })
    expect(await rejection(flow.start({ timeout: -5 }))).toMatchObject({ option: 'timeout' })
    expect(flow.state).toBe('created')
    await using running = await started(flow)
    for (const options of [
      { timeout: -1 },
      { timeout: '5' },
      { signal: {} },
      { priority: -1 },
      { prio: 1 },
    ])
      expect(await rejection(running.process(new WorkTask(0), options as object))).toMatchObject({
        code: 'AQ_INVALID_OPTION',
        option: Object.keys(options)[0],
      })
    expect(await rejection(running.stop({ gracefull: false } as object))).toMatchObject({
      message: "stop() has no option 'gracefull'; did you mean 'graceful'?",
    })
    expect(running.state).toBe('running')
    await expect(running.process(new WorkTask(1))).resolves.toMatchObject({ batch: [1] })
  })

  test('a task class with #private state is named in a warning', async () => {
    class SecretiveTask extends BaseTask {
      readonly #secret = 1
      get secret(): number {
        return this.#secret
      }
    }
    const warned = once(process, 'warning')
    const flow = new Flow([
      Object.assign(class Handler extends First {}, {
        url: First.url,
        task: SecretiveTask as never,
      }),
    ])
    expect(flow.state).toBe('created')
    expect(await warned).toMatchObject([
      { code: 'AQ_PRIVATE_STATE', message: expect.stringContaining('SecretiveTask') },
    ])
  })

  test('two steps of the same handler have different names', async () => {
    await using flow = await started(new Flow([First, First]))
    expect(flow.stats().workers.map(({ step: name }) => name)).toEqual(['First', 'First#2'])
    await expect(flow.process(new PickyTask([]))).resolves.toMatchObject({
      seen: ['First', 'First'],
    })
  })
})
