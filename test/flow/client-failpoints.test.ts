import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { PictureHandler, PictureTask } from '../fixtures/pictures.ts'
import { attachedTo, newAddress, silent } from '../support/clients.ts'
import { Failpoints, failpointSeconds } from '../support/failpoints.ts'
import { started, until } from '../support/flow.ts'

const MINUTE = 60_000
const SIZE = 50_000
const program = fileURLToPath(new URL('../fixtures/programs/failing-client.ts', import.meta.url))

/** Runs a client in a process of its own. Returns its atomic operations, or nothing when it was killed. */
async function clientOperations(address: string, { execArgv, env }: Failpoints) {
  try {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...execArgv, program, address],
      {
        env: { ...process.env, ...env, NODE_OPTIONS: '' },
      },
    )
    return (JSON.parse(stdout) as { operations: number }).operations
  } catch (error) {
    expect(error).toMatchObject({ signal: 'SIGKILL', stderr: '' })
    return undefined
  }
}

test(
  'web processes die before one atomic operation after another, and one among them does not notice',
  { timeout: 2 * MINUTE + 1000 * failpointSeconds },
  async () => {
    const address = newAddress()
    await using points = await Failpoints.create()
    const step = new FlowStep(PictureHandler, { batchSize: 4 })
    await using flow = await started(
      new Flow([step, step], { address, maxClients: 4, memory: 1 << 22, logger: silent }),
    )
    const operations = (await clientOperations(address, points))!
    expect(operations).toBeGreaterThan(200)
    await points.plan(operations)

    await using bystander = await attachedTo(address)
    const wrong: string[] = []
    let isOver = false
    const submitted = [0, 0]
    const bystand = async (
      by: Flow<PictureTask> | typeof bystander,
      index: number,
    ): Promise<void> => {
      while (!isOver) {
        const value = submitted[index]!++ % 251
        try {
          using task = await by.process(new PictureTask(value, SIZE), { timeout: MINUTE })
          if (String(task.seen) !== String(value)) wrong.push(`${value}: ${String(task.seen)}`)
        } catch (error) {
          wrong.push(`${value}: ${String(error)}`)
        }
        await new Promise(setImmediate)
      }
    }
    const bystanders = [bystand(flow, 0), bystand(bystander, 1)]
    const end = performance.now() + 1000 * failpointSeconds
    let deaths = 0
    await Promise.all(
      [0, 1, 2].map(async () => {
        while (performance.now() < end && (await points.left()) > 0)
          if ((await clientOperations(address, points)) === undefined) deaths++
      }),
    )
    isOver = true
    await Promise.all(bystanders)
    expect(wrong).toEqual([])
    expect(deaths).toBeGreaterThan(failpointSeconds)

    await until(() => flow.stats().memory.blocksInUse === 0, 'all is taken back', MINUTE)
    expect(bystander.stats().tasks).toEqual({
      admitted: submitted[1],
      completed: submitted[1],
      failed: 0,
      timedOut: 0,
      cancelled: 0,
      pending: 0,
      rejected: 0,
    })
    const { tasks, memory } = flow.stats()
    expect(memory).toMatchObject({ blocksInUse: 0, bytesInUse: 0 })
    expect(tasks.pending).toBe(0)
    expect(tasks.completed + tasks.failed + tasks.timedOut + tasks.cancelled).toBe(tasks.admitted)
    // Every place is free again.
    await using others = new AsyncDisposableStack()
    for (let place = 0; place < 3; place++) {
      const other = others.use(await attachedTo(address))
      using task = await other.process(new PictureTask(7, SIZE))
      expect(task.seen).toEqual([7])
    }
  },
)
