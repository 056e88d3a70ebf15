import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Flow, FlowClient, FlowStep, StartError } from '../../src/index.ts'
import { FragileWorker } from '../fixtures/fragile.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { Journal, describeIsolations, rejection, started } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'

const endless = { timeout: Infinity }
let folder: string
let broken: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aqueduct-'))
  broken = join(folder, 'broken')
})
afterEach(() => rm(folder, { recursive: true }))

/** Waits until a flow, or a client of one, is in this state. */
async function reaches(
  flow: Pick<Flow<WorkTask>, 'state'> & { on: unknown },
  state: string,
): Promise<void> {
  while (flow.state !== state) await once(flow as never, 'state')
}

let flows = 0

describeIsolations('a step whose workers cannot start any more', (isolation) => {
  const flowOf = (journal: Journal, address: string): Promise<Flow<WorkTask>> =>
    started(
      new Flow<WorkTask>(
        [
          new FlowStep(WorkHandler, { isolation, concurrency: 8 }),
          new FlowStep(FragileWorker, { isolation, args: [broken], retries: 0 }),
        ],
        { logger: journal, address },
      ),
    )

  test('fails the flow and its clients at once, until one can: then they run again by themselves', async () => {
    const address = `aqueduct-breaker-${process.pid}-${flows++}`
    await using gate = await Gate.close()
    const journal = new Journal()
    await using flow = await flowOf(journal, address)
    await using client = new FlowClient({ address, task: WorkTask, logger: new Journal() })
    await client.start()
    const states: string[] = []
    flow.on('state', (state) => states.push(state))

    const pending = [flow, client].map((it) =>
      rejection(it.process(new WorkTask(1, { gate: gate.name }), endless)),
    )
    await gate.visited(2)
    writeFileSync(broken, '')
    const fatal = new WorkTask(2, { exits: 'FragileWorker' })
    expect(await rejection(flow.process(fatal))).toMatchObject({ code: 'AQ_WORKER_DIED' })
    const [own, guests] = await Promise.all(pending)
    expect(own).toBeInstanceOf(StartError)
    expect(own).toMatchObject({ cause: { cause: { cause: { message: 'there is no model' } } } })
    expect(guests).toMatchObject({ code: 'AQ_STOPPED', cause: { name: 'StartError' } })
    expect(flow.state).toBe('failed')
    await reaches(client, 'starting')
    for (const it of [flow, client]) {
      expect(await rejection(it.process(new WorkTask(3)))).toMatchObject({ code: 'AQ_NOT_RUNNING' })
      expect(it.health().isReady).toBe(false)
    }
    expect(flow.health().steps).toMatchObject([{ isReady: true }, { isReady: false }])

    rmSync(broken)
    gate.open()
    await Promise.all([reaches(flow, 'running'), reaches(client, 'running')])
    expect(states).toEqual(['failed', 'running'])
    expect(journal.of('info').at(-1)!.message).toContain('the flow runs')
    for (const it of [flow, client]) {
      expect(it.health().isReady).toBe(true)
      expect((await it.process(new WorkTask(4), endless)).batch).toEqual([4])
    }
    expect(flow.stats().tasks.pending).toBe(0)
  })

  test('does not hold up stop()', async () => {
    const journal = new Journal()
    const flow = await flowOf(journal, `aqueduct-breaker-${process.pid}-${flows++}`)
    writeFileSync(broken, '')
    const fatal = new WorkTask(1, { exits: 'FragileWorker' })
    await rejection(flow.process(fatal, endless))
    await reaches(flow, 'failed')
    await flow.stop()
    expect(flow.state).toBe('stopped')
    rmSync(broken)
    await flow.start()
    await flow.process(new WorkTask(2), endless)
    await flow.stop()
  })
})
