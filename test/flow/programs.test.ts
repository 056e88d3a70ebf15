import { readFileSync, readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { childrenOf, describeIsolations, survivors, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { Program } from '../support/flow-program.ts'

interface Started {
  readonly pids: readonly number[]
}

const expectGone = (pids: readonly number[]): Promise<void> =>
  until(() => survivors(pids).length === 0, `no worker of ${pids.join(', ')} is left`, 10_000)

const sharedMemoryFiles = (): string[] =>
  readdirSync('/dev/shm').filter((name) => name.includes('aqueduct'))

/** Processor time that a process has taken, in the kernel's ticks. */
function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
  return Number(user) + Number(system)
}

async function busy(pids: readonly number[]): Promise<void> {
  const before = pids.map(ticksOf)
  await until(
    () => pids.every((pid, index) => ticksOf(pid) > before[index]! + 3),
    'the workers are in their endless loops',
    20_000,
  )
}

describe.each<NodeJS.Signals>(['SIGTERM', 'SIGINT', 'SIGKILL'])(
  'a program ended by %s',
  (signal) => {
    test('takes its idle workers with it, and leaves nothing in /dev/shm', async () => {
      await using program = new Program('parent.ts', 'idle', 'process')
      const { pids } = await program.message<Started>()
      expect(survivors(pids)).toHaveLength(2)
      program.kill(signal)
      await program.ended()
      await expectGone(pids)
      expect(sharedMemoryFiles()).toEqual([])
    })

    test('takes workers with it that are deaf in an endless loop', async () => {
      await using gate = await Gate.close()
      await using program = new Program('parent.ts', 'busy', 'process', gate.name)
      const { pids } = await program.message<Started>()
      await gate.visited(2)
      gate.open()
      await busy(pids)
      program.kill(signal)
      await expectGone(pids)
      await program.ended()
    })

    test('takes workers with it that are just being born', async () => {
      await using program = new Program('parent.ts', 'starting', 'process')
      await program.line()
      await until(() => childrenOf(program.pid).length === 2, 'the workers are being born')
      const pids = childrenOf(program.pid)
      program.kill(signal)
      await expectGone(pids)
      await program.ended()
    })

    test('takes workers with it that are deaf in onStart', async () => {
      await using program = new Program('parent.ts', 'starting', 'process')
      await program.line()
      await until(() => childrenOf(program.pid).length === 2, 'the workers are being born')
      const pids = childrenOf(program.pid)
      await busy(pids)
      await busy(pids)
      program.kill(signal)
      await expectGone(pids)
      await program.ended()
    })
  },
)

test('a Ctrl-C that reaches the whole group does not keep the workers from finishing', async () => {
  await using gate = await Gate.close()
  await using program = new Program('parent.ts', 'drains', 'process', gate.name)
  const { pids } = await program.message<Started>()
  await gate.visited()
  program.killGroup('SIGINT')
  expect(survivors(pids)).toHaveLength(2)
  gate.open()
  expect(await program.message()).toEqual({ done: [0] })
  expect(await program.ended()).toEqual({ code: 0, signal: null })
  await expectGone(pids)
})

describeIsolations('the end of a program', (isolation) => {
  test('a program that stops its flow ends by itself', async () => {
    await using program = new Program('parent.ts', 'stops', isolation)
    const { pids } = await program.message<Started>()
    expect(await program.message()).toEqual({ done: [7] })
    expect(await program.ended()).toEqual({ code: 0, signal: null })
    expect(program.errors).toBe('')
    await expectGone(pids)
  })

  test('a flow that was never started does not keep its program alive', async () => {
    await using program = new Program('parent.ts', 'only makes a flow', isolation)
    expect(await program.message()).toEqual({ state: 'created' })
    expect(await program.ended()).toEqual({ code: 0, signal: null })
  })

  test('a running flow keeps its program alive, though nothing is left to do', async () => {
    await using program = new Program('parent.ts', 'lives', isolation)
    await program.message<Started>()
    for (let round = 0; round < 3; round++) {
      program.kill('SIGUSR2')
      expect(await program.message()).toEqual({ state: 'running' })
    }
  })

  test('a program that stops its flow while the queues are full ends by itself', async () => {
    await using gate = await Gate.close()
    await using program = new Program('parent.ts', 'stops full', isolation, gate.name)
    const { pids } = await program.message<Started>()
    expect(await program.message()).toEqual({ codes: ['AQ_STOPPED'] })
    expect(await program.ended()).toEqual({ code: 0, signal: null })
    await expectGone(pids)
  })

  test('a program whose flow could not start ends by itself', async () => {
    await using program = new Program('parent.ts', 'fails to start', isolation)
    expect(await program.message()).toEqual({ code: 'AQ_START_TIMEOUT' })
    expect(await program.ended()).toEqual({ code: 0, signal: null })
  })

  test('process.exit() while tasks are queued does not hang', async () => {
    await using gate = await Gate.close()
    await using program = new Program('parent.ts', 'exits', isolation, gate.name)
    const { pids } = await program.message<Started>()
    expect(await program.ended()).toEqual({ code: 3, signal: null })
    await expectGone(pids)
  })

  test('an uncaught exception ends the program and its workers', async () => {
    await using gate = await Gate.close()
    await using program = new Program('parent.ts', 'throws', isolation, gate.name)
    const { pids } = await program.message<Started>()
    expect(await program.ended()).toEqual({ code: 1, signal: null })
    expect(program.errors).toContain('the program broke')
    await expectGone(pids)
  })

  test('results that a program forgets come back by garbage collection, without --expose-gc', async () => {
    await using program = new Program('forgetful.ts', isolation, '150')
    expect(await program.message()).toMatchObject({ admitted: 150, completed: 150, pending: 0 })
    expect(await program.message()).toMatchObject({ blocksInUse: 0, bytesInUse: 0 })
    expect(await program.ended()).toEqual({ code: 0, signal: null })
    expect(program.errors).toBe('')
  })
})

test('a flow for which the program may not open enough files is not started, and leaves none of them open', async () => {
  await using program = new Program('few-files.ts')
  expect(await program.message()).toEqual({
    name: 'StartError',
    code: 'AQ_START_FAILED',
    message: 'the flow could not be set up: cannot make a pipe: too many open files (ulimit -n)?',
    state: 'stopped',
    left: 0,
    batch: [1],
  })
})
