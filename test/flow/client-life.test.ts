import { describe, expect, test } from 'vitest'
import {
  Flow,
  FlowClient,
  type FlowState,
  FlowStep,
  FlowStoppedError,
  NotRunningError,
  StartError,
} from '../../src/index.ts'
import { LifeTask, SlowStart } from '../fixtures/life.ts'
import { PictureHandler, PictureTask } from '../fixtures/pictures.ts'
import {
  attachedTo,
  clientOf,
  connectionsTo,
  enters,
  newAddress,
  programAt,
  said,
  silent,
} from '../support/clients.ts'
import { handsOutViews, rejection, started, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { Program } from '../support/flow-program.ts'

/** No test waits for so long. */
const LONG = 600_000

const pictures = (address: string, options: { maxClients?: number } = {}): Flow<PictureTask> =>
  new Flow([new FlowStep(PictureHandler, { isolation: 'thread', concurrency: 6 })], {
    address,
    logger: silent,
    ...options,
  })

/** A flow whose worker becomes ready when the gate opens. */
const slow = (address: string, gate: Gate): Flow<LifeTask> =>
  new Flow([new FlowStep(SlowStart, { args: [gate.name], isolation: 'thread' })], { address })

const picture = (client: FlowClient<PictureTask>, value = 1): Promise<PictureTask> =>
  client.process(new PictureTask(value, 50_000))

/** A task that waits at the gate for as long as it takes. */
const waiting = (client: FlowClient<PictureTask>, gate: Gate): Promise<PictureTask> =>
  client.process(new PictureTask(1, 0, gate.name), { timeout: Infinity })

describe('a client', () => {
  test('that comes before its flow waits for it', async () => {
    const address = newAddress()
    await using client = clientOf(address)
    const attaching = client.start({ timeout: LONG })
    expect(client.state).toBe('starting')
    expect(await rejection(picture(client))).toBeInstanceOf(NotRunningError)
    await using flow = await started(pictures(address))
    await attaching
    expect(client.isRunning).toBe(true)
    expect((await picture(client)).seen).toEqual([1])
    expect(flow.stats().tasks).toMatchObject({ admitted: 1, completed: 1 })
  })

  test('that comes while its flow is starting waits for it', async () => {
    const address = newAddress()
    await using gate = await Gate.close()
    await using flow = slow(address, gate)
    const starting = flow.start()
    await gate.visited()
    await using client = new FlowClient({ address, task: LifeTask })
    const attaching = client.start({ timeout: LONG })
    await until(() => connectionsTo(address) === 1, 'the client is connected')
    expect(client.state).toBe('starting')
    gate.open()
    await starting
    await attaching
    expect((await client.process(new LifeTask())).handledBy).toBe('SlowStart')
  })

  test('that comes just as its flow is stopped does not hold that up', async () => {
    const address = newAddress()
    await using gate = await Gate.close()
    const flow = slow(address, gate)
    const starting = flow.start()
    await gate.visited()
    await using client = new FlowClient({ address, task: LifeTask, logger: silent })
    const attaching = client.start({ timeout: LONG })
    await until(() => connectionsTo(address) === 1, 'the client is connected')
    const stopped = starting.then(() => flow.stop({ timeout: LONG }))
    gate.open()
    await stopped
    await client.stop()
    expect(await rejection(attaching)).toBeInstanceOf(StartError)
  })

  test('gives up when its time to start is over, and may try again', async () => {
    const address = newAddress()
    await using client = clientOf(address)
    const error = await rejection(client.start({ timeout: 50 }))
    expect(error).toBeInstanceOf(StartError)
    expect(error).toMatchObject({ code: 'AQ_START_TIMEOUT' })
    expect((error as Error).message).toContain(`'${address}' within 50 ms: no flow listens there`)
    expect(client.state).toBe('stopped')
    await using flow = await started(pictures(address))
    await client.start()
    expect((await picture(client)).seen).toEqual([1])
    expect(flow.stats().tasks.completed).toBe(1)
  })

  test.each(['before there is a flow', 'when its flow is there'])(
    'that is stopped while it starts, %s, is stopped for good',
    async (when) => {
      const address = newAddress()
      await using flow = pictures(address, { maxClients: 1 })
      if (when === 'when its flow is there') await flow.start()
      const client = clientOf(address)
      const states: FlowState[] = []
      client.on('state', (state) => states.push(state))
      const attaching = rejection(client.start({ timeout: LONG }))
      if (flow.isRunning) await until(() => connectionsTo(address) > 0, 'it is connected')
      await client.stop()
      expect(await attaching).toBeInstanceOf(StartError)
      expect(client.state).toBe('stopped')
      expect(states).toEqual(['starting', 'stopping', 'stopped'])
      if (!flow.isRunning) await flow.start()
      // Nothing of it is left that would keep another one out.
      await using other = await attachedTo(address)
      expect((await picture(other)).seen).toEqual([1])
    },
  )

  test('cannot be started twice, and can be stopped at any time', async () => {
    const address = newAddress()
    await using flow = await started(pictures(address))
    const client = clientOf(address)
    await client.stop()
    expect(client.state).toBe('stopped')
    await client.start()
    expect(await rejection(client.start())).toBeInstanceOf(StartError)
    await Promise.all([client.stop(), client.stop()])
    await client.stop()
    expect(await rejection(picture(client))).toBeInstanceOf(NotRunningError)
    expect(flow.isRunning).toBe(true)
  })

  test('that stops finishes what is pending, and takes nothing new', async () => {
    const address = newAddress()
    await using gate = await Gate.close()
    await using flow = await started(pictures(address))
    const client = await attachedTo(address)
    const tasks = [waiting(client, gate), waiting(client, gate)]
    await gate.visited(2)
    const stopped = client.stop({ timeout: LONG })
    expect(client.state).toBe('stopping')
    expect(await rejection(picture(client))).toBeInstanceOf(NotRunningError)
    gate.open()
    await Promise.all(tasks)
    await stopped
    expect(client.stats().tasks).toMatchObject({ admitted: 2, completed: 2, pending: 0 })
    expect(flow.stats().tasks).toMatchObject({ admitted: 2, completed: 2, pending: 0 })
  })

  test.each([{ graceful: false }, { timeout: 10 }])(
    'that stops at once (%o) fails what is pending, and the flow goes on',
    async (options) => {
      const address = newAddress()
      await using gate = await Gate.close()
      await using flow = await started(pictures(address, { maxClients: 1 }))
      const client = await attachedTo(address)
      const tasks = Array.from({ length: 10 }, () => rejection(waiting(client, gate)))
      await gate.visited(6) // the others wait in the queue
      await client.stop(options)
      for (const error of await Promise.all(tasks)) expect(error).toBeInstanceOf(FlowStoppedError)
      expect(client.stats().tasks).toMatchObject({ admitted: 10, failed: 10, pending: 0 })
      expect(flow.stats().tasks).toMatchObject({ admitted: 10, failed: 10, pending: 0 })
      // Its place is free when the worker has finished what it had of it.
      const refused = await rejection(clientOf(address).start({ timeout: 50 }))
      expect((refused as Error).message).toContain('`maxClients`')
      gate.open()
      await using next = await attachedTo(address)
      expect((await picture(next)).seen).toEqual([1])
      expect(next.stats().tasks).toMatchObject({ admitted: 1, completed: 1, pending: 0 })
    },
  )

  test.runIf(handsOutViews)(
    'that has stopped may read its results until it releases them, and keeps its place so long',
    async () => {
      const address = newAddress()
      await using flow = await started(pictures(address, { maxClients: 1 }))
      const client = await attachedTo(address)
      const tasks = [await picture(client, 7), await picture(client, 8)]
      await client.stop()
      expect(client.state).toBe('stopped')
      const refused = await rejection(clientOf(address).start({ timeout: 50 }))
      expect((refused as Error).message).toContain('`maxClients`')
      await flow.process(new PictureTask(9, 50_000))
      expect(tasks.map((task) => new Set(task.picture))).toEqual([new Set([7]), new Set([8])])
      for (const task of tasks) task.release()
      expect(tasks.map((task) => task.picture!.length)).toEqual([0, 0])
      await using next = await attachedTo(address)
      expect((await picture(next, 5)).seen).toEqual([5])
    },
  )

  test('that has stopped does not keep its program alive, whatever the program holds', async () => {
    const address = newAddress()
    await using flow = await started(pictures(address))
    await using program = await programAt(address)
    program.tell('hold 2')
    await said(program, { held: 2 })
    program.tell('leave')
    expect(await program.ended()).toEqual({ code: 0, signal: null })
    await until(() => flow.stats().memory.blocksInUse === 0, 'its results are taken back')
  })
})

describe('a flow', () => {
  test('that stops finishes what its clients have pending', async () => {
    const address = newAddress()
    await using gate = await Gate.close()
    await using flow = await started(pictures(address))
    await using client = await attachedTo(address)
    const tasks = Array.from({ length: 10 }, () => waiting(client, gate))
    await gate.visited(6)
    const looks = enters(client, 'starting')
    const stopped = flow.stop({ timeout: LONG })
    await looks
    expect(await rejection(picture(client))).toBeInstanceOf(NotRunningError)
    gate.open()
    expect(await Promise.all(tasks)).toHaveLength(10)
    await stopped
    expect(flow.stats().tasks).toMatchObject({ admitted: 10, completed: 10, pending: 0 })
  })

  test('that stops at once fails what its clients have pending; they find it when it comes again', async () => {
    const address = newAddress()
    await using gate = await Gate.close()
    await using flow = await started(pictures(address))
    await using client = await attachedTo(address)
    const held = await picture(client, 3)
    const tasks = Array.from({ length: 3 }, () => rejection(waiting(client, gate)))
    await gate.visited(3)
    await flow.stop({ graceful: false })
    for (const error of await Promise.all(tasks)) expect(error).toBeInstanceOf(FlowStoppedError)
    expect(client.state).toBe('starting')
    expect(await rejection(picture(client))).toBeInstanceOf(NotRunningError)
    expect(new Set(held.picture)).toEqual(new Set([3])) // its memory stays
    const again = enters(client, 'running')
    await flow.start()
    await again
    // What the program still holds of the former flow goes into the next one like any other data.
    const task = new PictureTask(0, 0)
    task.picture = held.picture!
    expect((await client.process(task)).seen).toEqual([3])
    expect(client.stats().tasks).toEqual({
      admitted: 5,
      completed: 2,
      failed: 3,
      timedOut: 0,
      cancelled: 0,
      pending: 0,
      rejected: 0,
    })
    expect(flow.stats().tasks).toMatchObject({ admitted: 1, completed: 1, pending: 0 })
  })

  test('that is killed fails what its clients have pending at once; they find the next one', async () => {
    const address = newAddress()
    await using gate = await Gate.close()
    await using first = new Program('flow.ts', address)
    await said(first, { state: 'running' })
    await using client = await attachedTo(address)
    const held = await picture(client, 4)
    const tasks = Array.from({ length: 3 }, () => rejection(waiting(client, gate)))
    await gate.visited(3)
    first.kill('SIGKILL')
    for (const error of await Promise.all(tasks)) expect(error).toBeInstanceOf(FlowStoppedError)
    expect(await rejection(picture(client))).toBeInstanceOf(NotRunningError)
    expect(new Set(held.picture)).toEqual(new Set([4]))
    const again = enters(client, 'running')
    await using next = new Program('flow.ts', address)
    await said(next, { state: 'running' })
    await again
    expect((await picture(client, 6)).seen).toEqual([6])
    // And if this one is stopped while the client looks for the next: no harm.
    next.tell('stop')
    await said(next, { state: 'stopped' })
    expect(client.state).toBe('starting')
    await client.stop()
    expect(client.state).toBe('stopped')
  })

  test('in a worker of node:cluster has clients as any other', async () => {
    const address = newAddress()
    await using program = new Program('cluster-flow.ts', address)
    await said(program, { state: 'running' })
    await using client = await attachedTo(address)
    expect((await picture(client)).seen).toEqual([1])
  })

  test('that has stopped does not keep its program alive for the sake of a client that is stopped', async () => {
    const address = newAddress()
    await using program = new Program('flow.ts', address)
    await said(program, { state: 'running' })
    await using client = await programAt(address)
    client.kill('SIGSTOP')
    program.tell('leave')
    expect(await program.ended()).toEqual({ code: 0, signal: null })
    client.kill('SIGCONT')
    await said(client, { state: 'starting' })
  })
})
