import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { Flow, type FlowClient, FlowStep } from '../../src/index.ts'
import { PictureHandler, PictureTask } from '../fixtures/pictures.ts'
import { attachedTo, newAddress, silent } from '../support/clients.ts'
import { Failpoints, failpointSeconds, leastDeaths } from '../support/failpoints.ts'
import { started, turn, until } from '../support/flow.ts'

const MINUTE = 60_000
const SIZE = 50_000
const program = fileURLToPath(new URL('../fixtures/programs/failing-client.ts', import.meta.url))

/** Runs a client in a process of its own. Returns its atomic operations, or nothing when it was killed. */
async function runClient(address: string, points: Failpoints): Promise<number | undefined> {
  const child = spawn(process.execPath, [...points.execArgv, program, address], {
    env: { ...process.env, ...points.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [printed, complaints, [, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ])
  if (complaints !== '') throw new Error(complaints)
  if (signal === 'SIGKILL') return undefined
  return (JSON.parse(printed) as { operations: number }).operations
}

/** Has one task after another handled, and notes what is not as it should be. */
class Bystander {
  readonly wrong: string[] = []
  submitted = 0
  readonly #done: Promise<void>
  #isOver = false

  constructor(by: Flow<PictureTask> | FlowClient<PictureTask>) {
    this.#done = this.#run(by)
  }

  end(): Promise<void> {
    this.#isOver = true
    return this.#done
  }

  async #run(by: Flow<PictureTask> | FlowClient<PictureTask>): Promise<void> {
    while (!this.#isOver) {
      const value = this.submitted++ % 251
      try {
        using task = await by.process(new PictureTask(value, SIZE), { timeout: MINUTE })
        if (String(task.seen) !== String(value)) this.wrong.push(`${value}: ${String(task.seen)}`)
      } catch (error) {
        this.wrong.push(`${value}: ${String(error)}`)
      }
      await turn()
    }
  }
}

test(
  'web processes die before one atomic operation after another, and nobody else notices',
  { timeout: 2 * MINUTE + 1000 * failpointSeconds },
  async () => {
    const address = newAddress()
    await using points = await Failpoints.create()
    const step = new FlowStep(PictureHandler, { batchSize: 4 })
    await using flow = await started(
      new Flow([step, step], { address, maxClients: 4, memory: 1 << 22, logger: silent }),
    )
    const operations = (await runClient(address, points))!
    expect(operations).toBeGreaterThan(200)
    await points.plan(operations)

    await using client = await attachedTo(address)
    const bystanders = [new Bystander(flow), new Bystander(client)] as const
    const end = performance.now() + 1000 * failpointSeconds
    let deaths = 0
    await Promise.all(
      [1, 2, 3].map(async () => {
        while ((performance.now() < end || deaths < leastDeaths) && (await points.left()) > 0)
          if ((await runClient(address, points)) === undefined) deaths++
      }),
    )
    for (const bystander of bystanders) await bystander.end()
    expect(bystanders.flatMap(({ wrong }) => wrong)).toEqual([])
    expect(deaths).toBeGreaterThanOrEqual(leastDeaths)

    await until(() => flow.stats().memory.blocksInUse === 0, 'all is taken back', MINUTE)
    const { submitted } = bystanders[1]
    expect(client.stats().tasks).toMatchObject({ admitted: submitted, completed: submitted })
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
