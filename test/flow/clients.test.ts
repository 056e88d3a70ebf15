import { expect, test } from 'vitest'
import { Flow, FlowClient, FlowStep } from '../../src/index.ts'
import { PictureHandler, PictureTask } from '../fixtures/pictures.ts'
import { Journal, describeIsolations, started, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { Program } from '../support/flow-program.ts'

let addresses = 0
const newAddress = (): string => `test-${process.pid}-${addresses++}`

/** A program that is attached to the flow at the address. */
async function attached(address: string): Promise<Program> {
  const program = new Program('client.ts', address)
  expect(await program.message()).toEqual({ state: 'starting' })
  expect(await program.message()).toEqual({ state: 'running' })
  return program
}

describeIsolations('a client in another process', (isolation) => {
  const pictures = (concurrency = 6) => new FlowStep(PictureHandler, { isolation, concurrency })

  test('has its tasks processed, and sees payloads in shared memory', async () => {
    const address = newAddress()
    await using flow = await started(new Flow([pictures()], { address }))
    await using client = new FlowClient({ address, task: PictureTask })
    await client.start()
    const first = await client.process(new PictureTask(7, 100_000))
    expect(new Set(first.picture)).toEqual(new Set([7]))
    // The result goes into the next task without a copy, as in the flow's own process.
    const second = new PictureTask(0, 0)
    second.picture = first.picture!
    expect((await client.process(second)).seen).toEqual([7])
    expect(second.timings?.steps).toHaveLength(1)
    expect(flow.stats().tasks).toMatchObject({ admitted: 2, completed: 2, pending: 0 })
    expect(client.stats().tasks).toMatchObject({ admitted: 2, completed: 2, pending: 0 })
  })

  test('that is killed leaves its tasks cancelled and its memory free, and disturbs nobody', async () => {
    const address = newAddress()
    const journal = new Journal()
    await using gate = await Gate.close()
    await using other = await Gate.close()
    await using flow = await started(
      new Flow([pictures()], { address, logger: journal, memory: 1 << 24 }),
    )
    await using killed = await attached(address)
    await using bystander = await attached(address)
    await journal.reached('info', 2)
    killed.tell('hold 3')
    expect(await killed.message()).toMatchObject({ held: 3 })
    killed.tell(`again ${gate.name}`)
    expect(await killed.message()).toEqual({ sent: 1 })
    await gate.visited()
    bystander.tell(`work ${other.name} 5`)
    expect(await bystander.message()).toEqual({ sent: 5 })
    await other.visited(5)
    killed.tell('work - 10')
    expect(await killed.message()).toEqual({ sent: 10 })
    expect(flow.stats().tasks).toMatchObject({ admitted: 19, pending: 16 })

    killed.kill('SIGKILL')
    await killed.ended()
    await until(() => flow.stats().tasks.pending === 5, 'the tasks of the dead are cancelled')
    // What lies in a worker's hands stays until it is done; the rest is free.
    expect(flow.stats().memory.blocksInUse).toBe(3)
    gate.open()
    await journal.reached('info', 3)
    expect(flow.stats().memory.blocksInUse).toBe(0)
    other.open()
    expect(await bystander.message()).toEqual({ done: 5, codes: [] })
    expect(flow.stats().tasks).toMatchObject({ admitted: 19, cancelled: 11, completed: 8 })
    await expect(flow.process(new PictureTask(1, 10))).resolves.toMatchObject({ seen: [1] })
  })
})
