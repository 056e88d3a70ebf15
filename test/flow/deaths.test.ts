import { describe, expect, test } from 'vitest'
import { Flow, type FlowOptions, FlowStep, type PoisonedTaskError } from '../../src/index.ts'
import { DeathTask, Invert, Relay } from '../fixtures/deaths.ts'
import {
  Journal,
  describeIsolations,
  pidsOf,
  rejection,
  started,
  survivors,
  until,
} from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

const MiB = 2 ** 20

function expectIntact(task: DeathTask): void {
  const byte = task.id % 251
  const expected = Buffer.alloc(task.payload.length, byte)
  expect(task.payload).toHaveLength(expected.length)
  expect(expected.equals(task.payload)).toBe(true)
  expect(expected.fill(255 - byte).equals(task.result!)).toBe(true)
}

function pipeline(
  isolation: 'process' | 'thread',
  logger: Journal,
  options: FlowOptions = {},
): Promise<Flow<DeathTask>> {
  return started(
    new Flow(
      [
        new FlowStep(Invert, { isolation, batchSize: 4, nprocs: 2 }),
        new FlowStep(Relay, { isolation, batchSize: 4 }),
      ],
      { logger, ...options },
    ),
  )
}

/** Has a task handled, looks at all its bytes and releases it. An error is a value here. */
async function outcomeOf(processing: Promise<DeathTask>): Promise<unknown> {
  try {
    using task = await processing
    expectIntact(task)
    return undefined
  } catch (error) {
    return error
  }
}

/** Each task came back whole, or its worker died twice. Returns how many of those there were. */
async function expectSettled(outcomes: readonly Promise<unknown>[]): Promise<number> {
  const errors = (await Promise.all(outcomes)).filter((outcome) => outcome !== undefined)
  for (const error of errors)
    expect(error).toMatchObject({ name: 'PoisonedTaskError', code: 'AQ_TASK_POISONED' })
  return errors.length
}

describe('the death of a worker process', () => {
  test('its task is run again from the fields that it had', async () => {
    await using gate = await Gate.close()
    await using flow = await pipeline('process', new Journal())
    const task = Object.assign(new DeathTask(1, MiB), { gate: gate.name })
    const outcome = outcomeOf(flow.process(task, { timeout: Infinity }))
    await gate.visited()
    for (const pid of pidsOf(flow)) process.kill(pid, 'SIGKILL')
    await gate.visited(2)
    gate.open()
    await expectSettled([outcome])
    expect(task.seen).toEqual(['Invert', 'Relay'])
    expect(flow.stats().memory.blocksInUse).toBe(0)
    expect(flow.stats().tasks).toMatchObject({ admitted: 1, completed: 1, pending: 0 })
  })

  test('a task that is alone when its worker dies again fails, with pid, step and signal', async () => {
    await using gate = await Gate.close()
    await using flow = await pipeline('process', new Journal())
    const task = Object.assign(new DeathTask(1, MiB), { gate: gate.name })
    const outcome = rejection(flow.process(task, { timeout: Infinity }))
    await gate.visited()
    for (const pid of pidsOf(flow).slice(0, 2)) process.kill(pid, 'SIGKILL')
    await gate.visited(2)
    const pids = pidsOf(flow)
    for (const pid of pids.slice(0, 2)) process.kill(pid, 'SIGKILL')
    const error = (await outcome) as PoisonedTaskError
    expect(error).toMatchObject({
      name: 'PoisonedTaskError',
      code: 'AQ_TASK_POISONED',
      step: 'Invert',
      signal: 'SIGKILL',
      exitCode: undefined,
    })
    expect(pids.slice(0, 2)).toContain(error.pid)
    expect(error.message).toContain('run again alone')
    await expectSettled([outcomeOf(flow.process(new DeathTask(2, MiB)))])
    expect(flow.stats().memory.blocksInUse).toBe(0)
    expect(flow.stats().tasks).toMatchObject({ admitted: 2, completed: 1, failed: 1, pending: 0 })
  })

  test('a worker that dies idle is replaced, and no task notices', async () => {
    const journal = new Journal()
    await using flow = await pipeline('process', journal)
    const before = pidsOf(flow)
    for (const pid of before) process.kill(pid, 'SIGKILL')
    expect(
      await expectSettled([1, 2, 3].map((id) => outcomeOf(flow.process(new DeathTask(id, MiB))))),
    ).toBe(0)
    await journal.reached('info', 3)
    expect(flow.stats().workers).toMatchObject([
      { state: 'running', restarts: 1 },
      { state: 'running', restarts: 1 },
      { state: 'running', restarts: 1 },
    ])
    for (const pid of pidsOf(flow)) expect(before).not.toContain(pid)
    expect(survivors(before)).toEqual([])
    expect(journal.entries[0]).toMatchObject({ level: 'warn', data: { signal: 'SIGKILL' } })
  })

  test.each([
    ['the first step', 0],
    ['the last step', 2],
  ])(
    'under load, with payloads and batches: every task settles, none is lost (%s)',
    async (_, seat) => {
      const journal = new Journal()
      await using flow = await pipeline('process', journal, { memory: 256 * MiB })
      const outcomes = Array.from({ length: 60 }, (_task, id) =>
        outcomeOf(flow.process(new DeathTask(id, MiB), { timeout: 20_000 })),
      )
      await outcomes[3]
      process.kill(pidsOf(flow)[seat]!, 'SIGKILL')
      const died = await expectSettled(outcomes)
      expect(died).toBe(0)
      await journal.reached('warn', 1)
      expect(await expectSettled([outcomeOf(flow.process(new DeathTask(99, MiB)))])).toBe(0)
      expect(flow.stats().memory.blocksInUse).toBe(0)
      expect(flow.stats().tasks).toMatchObject({ admitted: 61, failed: died, pending: 0 })
    },
  )

  test('twenty deaths in a row: the flow serves after each, and nothing leaks', async () => {
    const journal = new Journal()
    await using flow = await pipeline('process', journal, { memory: 64 * MiB })
    const outcomes: Promise<unknown>[] = []
    let id = 0
    for (let death = 1; death <= 20; death++) {
      for (let count = 0; count < 10; count++)
        outcomes.push(outcomeOf(flow.process(new DeathTask(id++, 200_000), { timeout: 30_000 })))
      process.kill(pidsOf(flow)[death % 3]!, 'SIGKILL')
      await journal.reached('warn', death)
      await journal.reached('info', death)
    }
    await expectSettled(outcomes)
    expect(await expectSettled([outcomeOf(flow.process(new DeathTask(1, MiB)))])).toBe(0)
    expect(flow.state).toBe('running')
    expect(flow.stats().memory.blocksInUse).toBe(0)
    const { admitted, completed, failed, pending } = flow.stats().tasks
    expect({ admitted, pending, sum: completed + failed }).toEqual({
      admitted: 201,
      pending: 0,
      sum: 201,
    })
  })

  test('tasks in the queue of a step whose only worker died wait for its replacement', async () => {
    await using gate = await Gate.close()
    const journal = new Journal()
    await using flow = await started(
      new Flow([new FlowStep(Invert, { queueSize: 50 })], { logger: journal }),
    )
    const busy = outcomeOf(flow.process(Object.assign(new DeathTask(0, 1), { gate: gate.name })))
    await gate.visited()
    const queued = Array.from({ length: 100 }, (_, id) =>
      outcomeOf(flow.process(new DeathTask(id, 100_000))),
    )
    process.kill(pidsOf(flow)[0]!, 'SIGKILL')
    gate.open()
    expect(await expectSettled([busy, ...queued])).toBe(0)
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('a caller that had gone already leaves nothing behind when the worker dies', async () => {
    await using gate = await Gate.close()
    await using flow = await pipeline('process', new Journal())
    const task = Object.assign(new DeathTask(0, MiB), { gate: gate.name })
    const gone = rejection(flow.process(task, { timeout: 150 }))
    await gate.visited()
    expect(await gone).toMatchObject({ code: 'AQ_TIMEOUT' })
    expect(flow.stats().memory.blocksInUse).toBe(1)
    for (const pid of pidsOf(flow)) process.kill(pid, 'SIGKILL')
    await until(() => flow.stats().memory.blocksInUse === 0, 'the block is given back')
    expect(flow.stats().tasks).toMatchObject({ admitted: 1, timedOut: 1, failed: 0, pending: 0 })
  })

  test('a worker that dies while the flow stops does not hold it up', async () => {
    await using gate = await Gate.close()
    const flow = await pipeline('process', new Journal())
    const task = Object.assign(new DeathTask(0, MiB), { gate: gate.name })
    const outcome = outcomeOf(flow.process(task))
    await gate.visited()
    const stopping = flow.stop()
    for (const pid of pidsOf(flow)) process.kill(pid, 'SIGKILL')
    gate.open()
    expect(await outcome).toBeUndefined()
    await stopping
    expect(flow.state).toBe('stopped')
  })
})

describeIsolations('process.exit() inside a handler', (isolation) => {
  test('ends that worker alone: its task fails, the others and the program go on', async () => {
    const journal = new Journal()
    await using flow = await pipeline(isolation, journal)
    for (const exitAt of ['Invert', 'Relay']) {
      const fatal = Object.assign(new DeathTask(0, MiB), { exitAt })
      const error = await rejection(flow.process(fatal))
      expect(error).toMatchObject({ code: 'AQ_TASK_POISONED', step: exitAt, exitCode: 9 })
      expect(await expectSettled([outcomeOf(flow.process(new DeathTask(7, MiB)))])).toBe(0)
    }
    expect(journal.count('warn')).toBe(4)
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })

  test('a death within a batch: only the task that dies again alone fails', async () => {
    const journal = new Journal()
    await using flow = await started(
      new Flow([new FlowStep(Invert, { isolation, batchSize: 4, batchTimeout: 10_000 })], {
        logger: journal,
      }),
    )
    const tasks = [0, 1, 2, 3].map((id) => new DeathTask(id, MiB))
    Object.assign(tasks[2]!, { exitAt: 'Invert' })
    const outcomes = await Promise.all(
      tasks.map((task) => outcomeOf(flow.process(task, { timeout: Infinity }))),
    )
    expect(outcomes[2]).toMatchObject({ code: 'AQ_TASK_POISONED', exitCode: 9 })
    expect(outcomes.filter((outcome) => outcome === undefined)).toHaveLength(3)
    expect(journal.count('warn')).toBe(2)
    tasks[2]!.release()
    expect(flow.stats().tasks.pending).toBe(0)
    expect(flow.stats().memory.blocksInUse).toBe(0)
  })
})
