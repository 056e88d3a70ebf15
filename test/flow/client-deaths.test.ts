import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Flow, FlowStep, WorkerDiedError } from '../../src/index.ts'
import { PictureHandler, PictureTask } from '../fixtures/pictures.ts'
import { attachedTo, newAddress, programAt, said, silent } from '../support/clients.ts'
import {
  Journal,
  describeIsolations,
  handsOutViews,
  pidsOf,
  rejection,
  started,
  until,
} from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

/** Shared memory that this process has touched, in bytes. */
const sharedBytes = (): number =>
  Number(/^RssShmem:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024

const stateOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)![0]!

describeIsolations('clients', (isolation) => {
  test('are killed in a storm, again and again, and one among them does not notice', async () => {
    const address = newAddress()
    const journal = new Journal()
    const step = new FlowStep(PictureHandler, { isolation, nprocs: 2, batchSize: 4 })
    await using flow = await started(
      new Flow([step, step], { address, maxClients: 4, memory: 1 << 24, logger: journal }),
    )
    await using bystander = await programAt(address)
    bystander.tell('load 8')
    const rounds = 3
    for (let round = 1; round <= rounds; round++) {
      const victims = await Promise.all([1, 2, 3].map(() => programAt(address)))
      await Promise.all(
        victims.map(async (victim, index) => {
          await using _ = victim
          victim.tell('load 16 ruthless')
          // Wherever it is when it has come so far.
          for (let word = 0; word < 1 + ((round * 5 + index * 3) % 7); word++)
            await victim.message()
          victim.kill('SIGKILL')
          await victim.ended()
        }),
      )
      await journal.has((entries) => ending(entries) === 3 * round)
    }
    bystander.tell('enough')
    let last: { finished: number; wrong?: string[] }
    do last = await bystander.message()
    while (last.wrong === undefined)
    expect(last.wrong).toEqual([])
    expect(last.finished).toBeGreaterThan(20)
    const { tasks, memory } = flow.stats()
    expect(memory).toMatchObject({ blocksInUse: 0, bytesInUse: 0 })
    expect(tasks.pending).toBe(0)
    expect(tasks.completed + tasks.failed + tasks.timedOut + tasks.cancelled).toBe(tasks.admitted)
    expect(tasks.completed).toBeGreaterThanOrEqual(last.finished)
    using task = await flow.process(new PictureTask(9, 50_000))
    expect(task.seen).toEqual([9])
  })
})

/** How many clients have gone, as the journal tells it. */
const ending = (entries: readonly { readonly message: string }[]): number =>
  entries.filter(({ message }) => message.includes('no more')).length

test('a client that is stopped disturbs nobody, and goes on where it was', async () => {
  const address = newAddress()
  await using gate = await Gate.close()
  const step = new FlowStep(PictureHandler, { concurrency: 4 })
  await using flow = await started(new Flow([step], { address, logger: silent }))
  await using client = await programAt(address)
  await using other = await attachedTo(address)
  client.tell('hold 3')
  await said(client, { held: 3 })
  client.tell(`work ${gate.name} 10`)
  await said(client, { sent: 10 })
  await gate.visited(4)
  client.kill('SIGSTOP')
  await until(() => stateOf(client.pid) === 'T', 'it has stopped')
  gate.open()
  await gate.visited(10)
  for (let number = 0; number < 50; number++) {
    using task = await other.process(new PictureTask(number, 50_000))
    expect(task.seen).toEqual([number])
  }
  // Nobody has collected what is done for the one that is stopped.
  expect(flow.stats().tasks).toMatchObject({ admitted: 63, completed: 53, pending: 10 })
  expect(flow.stats().memory.blocksInUse).toBe(handsOutViews ? 3 : 0)
  client.kill('SIGCONT')
  await said(client, { done: 10 })
  expect(flow.stats().tasks).toMatchObject({ admitted: 63, completed: 63, pending: 0 })
})

test.each(['SIGCONT', 'SIGKILL'] as const)(
  'a client that is stopped with all the results that it may have uncollected holds nobody up (then %s)',
  async (signal) => {
    const most = 24
    const address = newAddress()
    await using gate = await Gate.close()
    const step = new FlowStep(PictureHandler, {
      batchSize: 4,
      concurrency: most / 4,
      queueSize: most,
    })
    await using flow = await started(
      new Flow([step], {
        address,
        maxClients: 2,
        maxPending: most,
        memory: 1 << 23,
        logger: silent,
      }),
    )
    await using client = await programAt(address)
    await using other = await attachedTo(address)
    client.tell(`work ${gate.name} ${most}`)
    await said(client, { sent: most })
    await gate.visited(1)
    client.kill('SIGSTOP')
    await until(() => stateOf(client.pid) === 'T', 'it has stopped')
    gate.open()
    await gate.visited(most)
    for (let round = 0; round < 5; round++) {
      const tasks = Array.from({ length: most }, (_, id) =>
        other.process(new PictureTask(id, 50_000), { timeout: 60_000 }),
      )
      for (const [id, task] of (await Promise.all(tasks)).entries()) {
        expect(task.seen).toEqual([id])
        task.release()
      }
    }
    expect(other.stats().tasks).toMatchObject({ completed: 5 * most, pending: 0 })
    expect(flow.stats().tasks).toMatchObject({ completed: 5 * most, pending: most })
    client.kill(signal)
    if (signal === 'SIGCONT') await said(client, { done: most })
    else await client.ended()
    await until(() => flow.stats().tasks.pending === 0, 'its tasks are over')
    await until(() => flow.stats().memory.blocksInUse === 0, 'nothing is left')
    using task = await other.process(new PictureTask(7, 50_000))
    expect(task.seen).toEqual([7])
  },
)

test('a client that is stopped cannot hold up the end of its flow for longer than that may take', async () => {
  const address = newAddress()
  await using gate = await Gate.close()
  const step = new FlowStep(PictureHandler, { isolation: 'thread' })
  await using flow = await started(new Flow([step], { address, logger: silent }))
  await using client = await programAt(address)
  client.tell(`work ${gate.name} 2`)
  await gate.visited()
  client.kill('SIGSTOP')
  await until(() => stateOf(client.pid) === 'T', 'it has stopped')
  await flow.stop({ timeout: 50 })
  expect(flow.state).toBe('stopped')
  client.kill('SIGCONT')
  expect(await said(client, { done: 0 })).toMatchObject({ codes: ['AQ_STOPPED'] })
})

test('the death of a worker is told to the client whose task it was', async () => {
  const address = newAddress()
  await using gate = await Gate.close()
  const step = new FlowStep(PictureHandler, { name: 'pictures', retries: 0 })
  await using flow = await started(new Flow([step], { address, logger: silent }))
  await using client = await attachedTo(address)
  const task = client.process(new PictureTask(1, 0, gate.name), { timeout: Infinity })
  await gate.visited()
  const [pid] = pidsOf(flow) as [number]
  process.kill(pid, 'SIGKILL')
  const error = await rejection(task)
  expect(error).toBeInstanceOf(WorkerDiedError)
  expect(error).toMatchObject({ step: 'pictures', pid, exitCode: undefined, signal: 'SIGKILL' })
})

test('neither the death of a client nor that of a worker costs memory', async () => {
  const address = newAddress()
  const journal = new Journal()
  const step = new FlowStep(PictureHandler)
  await using flow = await started(new Flow([step], { address, logger: journal }))
  using _ = await flow.process(new PictureTask(1, 0))
  const before = sharedBytes()
  const client = await attachedTo(address)
  await client.process(new PictureTask(1, 0))
  await client.stop()
  await journal.reached('info', 2)
  process.kill(pidsOf(flow)[0]!, 'SIGKILL')
  await journal.reached('info', 3)
  // Each slot that was ever looked at takes a page: all of them, hundreds of megabytes.
  expect(sharedBytes() - before).toBeLessThan(4 << 20)
})
