import { describe, expect, test } from 'vitest'
import { childrenOf, describeIsolations, rejection, survivors, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { Program } from '../support/flow-program.ts'
import { RawClient } from '../support/http-client.ts'

interface Service {
  readonly url: string
  readonly pids: readonly number[]
}

const expectGone = (pids: readonly number[]): Promise<void> =>
  until(() => survivors(pids).length === 0, `no worker of ${pids.join(', ')} is left`, 10_000)

/** Signals a service that has a request under way, and lets it answer once it is closing. */
async function expectCleanEnd(isolation: string, send: (program: Program) => void): Promise<void> {
  await using gate = await Gate.close()
  await using program = new Program('service.ts', 'closes on signals', isolation, gate.name)
  const { url, pids } = await program.message<Service>()
  await using keptAlive = await RawClient.connect(url)
  keptAlive.get('/health/ready')
  await keptAlive.receives('running')
  const reply = fetch(url)
  await gate.visited()
  send(program)
  await keptAlive.ended() // it is closing
  gate.open()
  expect(await (await reply).json()).toEqual({ batch: [1] })
  expect(await program.ended()).toEqual({ code: 0, signal: null })
  await expectGone(pids)
}

describeIsolations('a program around a Fastify application', (isolation) => {
  test('at SIGTERM answers what is under way and ends with its workers', () =>
    expectCleanEnd(isolation, (program) => program.kill('SIGTERM')))

  test('ends with exit code 1 and says why, when its flow cannot start', async () => {
    await using program = new Program('service.ts', 'cannot start', isolation)
    await program.line()
    expect(await program.ended()).toEqual({ code: 1, signal: null })
    expect(program.errors).toContain('the flow could not start: step ThrowingStart')
    expect(program.errors).toContain('there is no such model; the program ends')
  })

  test('ends with exit code 1 when its flow has failed, and leaves nothing alive', async () => {
    await using program = new Program('service.ts', 'fails', isolation)
    const { url, pids } = await program.message<Service>()
    expect((await fetch(url)).status).toBe(500) // the worker's last task
    expect(await program.message()).toEqual({ closing: 'failed' })
    expect(await program.ended()).toEqual({ code: 1, signal: null })
    expect(program.errors).toContain('the flow has failed; the program ends')
    await expectGone(pids)
  })
})

describe('a program around a Fastify application, with workers of its own', () => {
  test('ends cleanly at a SIGTERM that its whole group gets, as a service manager sends it', () =>
    expectCleanEnd('process', (program) => program.killGroup('SIGTERM')))

  test('ends cleanly at a Ctrl-C, which its whole group gets, also when it comes twice', () =>
    expectCleanEnd('process', (program) => {
      program.killGroup('SIGINT')
      program.kill('SIGINT') // as npm passes it on
    }))

  test('is not to be interrupted while it closes', async () => {
    await using gate = await Gate.close()
    await using program = new Program('service.ts', 'closes slowly', 'process', gate.name)
    const { pids } = await program.message<Service>()
    program.kill('SIGINT')
    await gate.visited() // the flow has stopped, the application has not
    program.kill('SIGINT')
    gate.open()
    expect(await program.ended()).toEqual({ code: 0, signal: null })
    expect(survivors(pids)).toEqual([])
  })

  test('drains all of its applications before it ends', async () => {
    await using gate = await Gate.close()
    await using program = new Program('service.ts', 'has two applications', 'process', gate.name)
    await program.message<Service>()
    const { url } = await program.message<Service>()
    await using idle = await RawClient.connect(url)
    const reply = fetch(url)
    await gate.visited()
    program.kill('SIGTERM')
    await idle.ended()
    gate.open()
    expect((await reply).status).toBe(200)
    expect(await program.ended()).toEqual({ code: 0, signal: null })
  })

  test('leaves signals to the program that handles them itself', async () => {
    await using program = new Program('service.ts', 'has a handler of its own', 'process')
    const { pids } = await program.message<Service>()
    program.kill('SIGTERM')
    expect(await program.message()).toEqual({ own: true })
    expect(await program.ended()).toEqual({ code: 0, signal: null })
    await expectGone(pids)
  })

  test('takes its workers with it where its own handler of signals just ends it', async () => {
    await using gate = await Gate.close()
    await using program = new Program('service.ts', 'overrides signals', 'process', gate.name)
    const { url, pids } = await program.message<Service>()
    const reply = rejection(fetch(url))
    await gate.visited()
    program.kill('SIGTERM')
    expect(await program.ended()).toEqual({ code: 7, signal: null })
    await reply
    await expectGone(pids)
  })

  test('ends in time although a worker is in an endless loop and something keeps it alive', async () => {
    await using gate = await Gate.close()
    await using program = new Program('service.ts', 'has little time', 'process', gate.name)
    const { url, pids } = await program.message<Service>()
    const reply = rejection(fetch(`${url}/?deaf`))
    await gate.visited()
    gate.open()
    program.kill('SIGTERM')
    expect(await program.ended()).toEqual({ code: 0, signal: null })
    expect(await reply).toMatchObject({ cause: { code: 'UND_ERR_SOCKET' } })
    await expectGone(pids)
  })

  test('ends although a hook of the application never does, with exit code 1', async () => {
    await using program = new Program('service.ts', 'hangs in a hook', 'process')
    const { pids } = await program.message<Service>()
    program.kill('SIGTERM')
    expect(await program.ended()).toEqual({ code: 1, signal: null })
    await expectGone(pids)
  })

  test('ends with exit code 1 and says why, when a hook of the application throws', async () => {
    await using program = new Program('service.ts', 'throws in a hook', 'process')
    const { pids } = await program.message<Service>()
    program.kill('SIGTERM')
    expect(await program.ended()).toEqual({ code: 1, signal: null })
    expect(program.errors).toContain('could not be closed cleanly: no farewell')
    await expectGone(pids)
  })

  test('gives its flow the time that FLOW_START_TIMEOUT says, in seconds', async () => {
    process.env['FLOW_START_TIMEOUT'] = '0.5'
    await using program = new Program('service.ts', 'starts late', 'process')
    delete process.env['FLOW_START_TIMEOUT']
    await program.line()
    await until(() => childrenOf(program.pid).length === 1, 'the worker is being born')
    const pids = childrenOf(program.pid)
    expect(await program.ended()).toEqual({ code: 1, signal: null })
    expect(program.errors).toContain('500 ms')
    await expectGone(pids)
  })
})
