import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BaseTask, Flow, FlowStep } from '../../src/index.ts'
import { EchoHandler, GrowingHandler, SpoilingHandler, ValueTask } from '../fixtures/values.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { Gate } from '../support/flow-gate.ts'
import { describeIsolations, rejection, started, handsOutViews } from '../support/flow.ts'

const MiB = 2 ** 20

class Money {
  readonly amount = 5
}

function cyclic(): object {
  const first: Record<string, unknown> = {}
  first['second'] = { first }
  return first
}

describeIsolations('what travels with a task', (isolation) => {
  const echoing = (options = {}): Promise<Flow<ValueTask>> =>
    started(new Flow([new FlowStep(EchoHandler, { isolation, batchSize: 4 })], options))

  test('process() resolves with the very task that it was given, filled in', async () => {
    await using flow = await echoing()
    const task = new ValueTask('hello')
    expect(await flow.process(task)).toBe(task)
    expect(task.echo).toBe('hello')
  })

  describe('a value of any kind', () => {
    let flow: Flow<ValueTask>
    beforeAll(async () => {
      flow = await echoing()
    })
    afterAll(() => flow.stop())

    test.each<[string, unknown]>([
      ['undefined', undefined],
      ['null', null],
      ['a boolean', true],
      ['-0', -0],
      ['NaN', Number.NaN],
      ['a bigint', -(2n ** 100n)],
      ['a string beyond ASCII', 'žluťoučký 🐎 \0'],
      ['an empty string', ''],
      ['a Date', new Date(1e12)],
      [
        'a Map',
        new Map<unknown, unknown>([
          ['a', { b: [1] }],
          [2, new Set([3])],
        ]),
      ],
      ['a Set', new Set([1, 'two', null])],
      ['a nested object', { a: [{ b: { c: [] } }], 'd e': {} }],
      ['an array with undefined in it', [1, undefined, 3]],
      ['a Float32Array', new Float32Array([1.5, -0, Number.NaN])],
      ['a BigInt64Array', new BigInt64Array([-1n])],
      ['a Buffer', Buffer.from('abc')],
      ['an ArrayBuffer', new Uint8Array([1, 2, 3]).buffer],
      ['a DataView', new DataView(new Uint8Array([1, 2, 3]).buffer, 1)],
      ['an empty Uint8Array', new Uint8Array()],
      ['a large Float64Array', new Float64Array(20_000).map((_, index) => index)],
      ['a long string', 'x'.repeat(100_000)],
      ['an error with a code', Object.assign(new TypeError('bad'), { code: 'E_BAD' })],
    ])('%s comes to the worker and back as what it was', async (_, value) => {
      const task = await flow.process(new ValueTask(value))
      expect(task.echo).toStrictEqual(value)
      expect(task.value).toStrictEqual(value)
      task.release()
      expect(flow.stats().memory.blocksInUse).toBe(0)
    })
  })

  test('in the worker a task has the getters and methods of its class, and its constructor has not run', async () => {
    await using flow = await echoing()
    const task = await flow.process(new ValueTask(1))
    expect(task).toMatchObject({ area: 12, doubled: 42, isValueTask: true })
    // In a thread, as in a process, the module is a copy of its own.
    expect(task.constructedInWorker).toBe(0)
  })

  test('a task that failed has its fields of before, whatever the handler made of them', async () => {
    await using flow = await started(new Flow([new FlowStep(WorkHandler, { isolation })]))
    const task = new WorkTask(1, { throws: 'after it has set some fields' })
    const { options } = task
    const before = Object.entries(task)
    await rejection(flow.process(task))
    expect(Object.entries(task)).toEqual(before)
    expect(task.options).toBe(options)
  })

  test('a field that the handler deletes vanishes at the caller', async () => {
    await using flow = await echoing()
    const task = new ValueTask(1)
    expect(Object.keys(task)).toContain('temporary')
    await flow.process(task)
    expect(Object.keys(task)).not.toContain('temporary')
  })

  test('a task can be processed again once it is finished', async () => {
    await using flow = await echoing()
    const task = new ValueTask(new Uint8Array(100_000).fill(5))
    for (let round = 0; round < 3; round++) await flow.process(task)
    expect(task.echo).toStrictEqual(new Uint8Array(100_000).fill(5))
  })

  test('a task that was finished once and failed the second time still gives its memory back', async () => {
    await using flow = await echoing()
    const task = await flow.process(new ValueTask(new Uint8Array(100_000)))
    await rejection(flow.process(task, { signal: AbortSignal.abort() }))
    expect(task.value).toHaveLength(100_000)
    task.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('the timings of a task say where its time went', async () => {
    await using flow = await started(
      new Flow([
        new FlowStep(EchoHandler, { isolation, name: 'first' }),
        new FlowStep(EchoHandler, { isolation, name: 'second' }),
      ]),
    )
    const task = new ValueTask(1)
    expect(task.timings).toBeUndefined()
    const begin = performance.now()
    await flow.process(task)
    const elapsed = performance.now() - begin
    const { totalMs, steps } = task.timings!
    expect(steps.map(({ step, batchSize }) => [step, batchSize])).toEqual([
      ['first', 1],
      ['second', 1],
    ])
    let sum = 0
    expect(task.timings).toBe(task.timings)
    for (const { queueMs, batchMs, handleMs } of steps) {
      for (const part of [queueMs, batchMs, handleMs]) expect(part).toBeGreaterThanOrEqual(0)
      sum += queueMs + batchMs + handleMs
    }
    expect(totalMs).toBeGreaterThanOrEqual(sum - 0.01) // parts are single precision
    expect(totalMs).toBeLessThanOrEqual(elapsed)
  })

  test.each<[string, unknown, string]>([
    ['a function', { deep: [1, () => 1] }, 'task.value.deep[1]'],
    ['a symbol', Symbol('s'), 'task.value'],
    ['an instance of a class', new Map([['price', new Money()]]), 'task.value.values()[0]'],
    ['a promise', Promise.resolve(), 'task.value'],
    ['a task', new ValueTask(1), 'task.value'],
    ['a cyclic object', cyclic(), 'task.value'],
  ])(
    '%s in a field fails its task with an error that names the place, and no other task',
    async (_, value, path) => {
      await using flow = await echoing()
      const payload = new Uint8Array(100_000)
      const good = [1, 2, 3].map((id) => flow.process(new ValueTask([id, payload])))
      const bad = new ValueTask(value)
      const error = await rejection(flow.process(Object.assign(bad, { before: payload })))
      expect(error).toMatchObject({ name: 'CodecError', code: 'AQ_UNSERIALIZABLE' })
      expect((error as { path: string }).path).toContain(path)
      for (const task of await Promise.all(good)) task.release()
      await expect(flow.process(new ValueTask(1))).resolves.toMatchObject({ echo: 1 })
      expect(flow.stats().tasks).toMatchObject({ admitted: 5, completed: 4, failed: 1, pending: 0 })
      expect(flow.stats().memory.blocksInUse).toBe(0)
    },
  )

  test('a result that cannot travel fails its task alone, with the place', async () => {
    await using flow = await started(
      new Flow([
        new FlowStep(SpoilingHandler, { isolation, batchSize: 4, batchTimeout: Infinity }),
      ]),
    )
    const [first, spoilt, third, fourth] = ['a', 'spoil', 'c', 'd'].map((value) =>
      flow.process(new ValueTask(value)),
    )
    expect(await rejection(spoilt!)).toMatchObject({
      name: 'CodecError',
      code: 'AQ_UNSERIALIZABLE',
      path: expect.stringContaining('task.echo.deep[0]'),
    })
    const others = await Promise.all([first, third, fourth])
    expect(others.map((task) => task?.echo)).toEqual(['a', 'c', 'd'])
    expect(flow.stats().tasks).toMatchObject({ completed: 3, failed: 1, pending: 0 })
  })

  test('a payload larger than the memory of the flow is refused at once', async () => {
    await using flow = await echoing({ memory: MiB })
    const error = await rejection(flow.process(new ValueTask(new Uint8Array(2 * MiB))))
    expect(error).toMatchObject({ name: 'PayloadTooLargeError', bytes: 2 * MiB })
    expect((error as { maxBytes: number }).maxBytes).toBeLessThanOrEqual(MiB)
    // Too large together, though each would fit.
    const parts = [0, 1, 2, 3].map(() => new Uint8Array(MiB / 3))
    expect(await rejection(flow.process(new ValueTask(parts), { timeout: 300 }))).toMatchObject({
      code: expect.stringMatching(/^AQ_(PAYLOAD_TOO_LARGE|OUT_OF_MEMORY|TIMEOUT)$/),
    })
    await expect(flow.process(new ValueTask('small'))).resolves.toMatchObject({ echo: 'small' })
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('a result that fits no memory fails its task by the deadline, and the flow goes on', async () => {
    await using flow = await started(
      new Flow([new FlowStep(GrowingHandler, { isolation })], { memory: MiB }),
    )
    await rejection(flow.process(new ValueTask(3 * MiB)))
    const held = await flow.process(new ValueTask(MiB / 2))
    const late = flow.process(new ValueTask(0.7 * MiB), { timeout: 300 })
    // Where results are copied (Node 22), a result that is held takes no shared memory.
    if (handsOutViews) await rejection(late)
    else (await late).release()
    expect(held.echo).toStrictEqual(new Uint8Array(MiB / 2).fill(7))
    held.release()
    const task = await flow.process(new ValueTask(0.7 * MiB))
    task.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
    expect(flow.stats().tasks).toMatchObject({
      admitted: 4,
      completed: handsOutViews ? 2 : 3,
      pending: 0,
    })
  })

  test('a task waits for memory that another one holds, and goes on when it is released', async () => {
    await using flow = await echoing({ memory: MiB })
    const held = await flow.process(new ValueTask(new Uint8Array(MiB / 2)))
    const waiting = flow.process(new ValueTask(new Uint8Array(MiB / 2)))
    held.release()
    const task = await waiting
    expect(task.echo).toHaveLength(MiB / 2)
    task.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('the same task twice at once is refused, and the first call goes on', async () => {
    await using gate = await Gate.close()
    await using flow = await started(new Flow([new FlowStep(WorkHandler, { isolation })]))
    const task = new WorkTask(1, { gate: gate.name })
    const first = flow.process(task)
    expect(await rejection(flow.process(task))).toMatchObject({
      name: 'InvalidTaskError',
      code: 'AQ_TASK_IN_FLIGHT',
    })
    gate.open()
    await expect(first).resolves.toBe(task)
    expect(flow.stats().tasks).toMatchObject({ admitted: 1, completed: 1 })
  })

  test('a task of a class that no handler names is refused', async () => {
    class ForeignTask extends BaseTask {}
    await using flow = await echoing()
    for (const foreign of [new ForeignTask(), new WorkTask(1), {}, null, undefined, 'task'])
      expect(await rejection(flow.process(foreign as ValueTask))).toMatchObject({
        name: 'InvalidTaskError',
        code: 'AQ_INVALID_TASK',
        message: expect.stringContaining('the flow handles tasks of ValueTask'),
      })
    expect(flow.stats().tasks).toMatchObject({ admitted: 0, pending: 0 })
  })
})
