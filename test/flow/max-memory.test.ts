import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { MemoryLimit } from '../../src/worker/memory-limit.ts'
import { HoardTask, Hoarder } from '../fixtures/hoarder.ts'
import { Journal, describeIsolations, rejection, started } from '../support/flow.ts'

const MiB = 2 ** 20
const endless = { timeout: Infinity }

describeIsolations('a worker that grows beyond its maxMemory', (isolation) => {
  test('is replaced by another that became ready beside it, and no task notices', async () => {
    const journal = new Journal()
    const step = new FlowStep(Hoarder, { isolation, maxMemory: 150 * MiB })
    await using flow = await started(new Flow([step], { logger: journal }))
    const { by: first } = await flow.process(new HoardTask(), endless)
    let last = first
    while (last === first) last = (await flow.process(new HoardTask(), endless)).by
    expect(journal.of('info')[0]).toMatchObject({
      message: expect.stringContaining("more than the step's maxMemory: it is being replaced"),
      data: { step: 'Hoarder', worker: 0 },
    })
    expect(journal.count('warn')).toBe(0)
    const { failed, timedOut, pending } = flow.stats().tasks
    expect({ failed, timedOut, pending }).toEqual({ failed: 0, timedOut: 0, pending: 0 })
    expect(flow.metrics().workers.died).toBe(0)
    expect(flow.stats().workers[0]).toMatchObject({ index: 0 })
  })

  test('before its first task, cannot start', async () => {
    const flow = new Flow([new FlowStep(Hoarder, { isolation, maxMemory: 1_000 })])
    expect(await rejection(flow.start())).toMatchObject({
      code: 'AQ_START_FAILED',
      message: expect.stringContaining('maxMemory of 1000'),
    })
  })
})

test('the limit is looked at once a second at most, and told again after a minute', () => {
  let looks = 0
  let bytes = 50
  const told: number[] = []
  const limit = new MemoryLimit(
    100,
    () => {
      looks++
      return bytes
    },
    (grown) => told.push(grown),
  )
  for (const now of [0, 10, 500, 999]) limit.look(now)
  expect(looks).toBe(1)
  bytes = 100
  limit.look(1_000)
  expect(told).toEqual([])
  bytes = 101
  limit.look(1_999)
  limit.look(2_000)
  for (const now of [2_001, 3_001, 61_999]) limit.look(now)
  expect({ looks, told }).toEqual({ looks: 3, told: [101] })
  limit.look(62_000)
  expect(told).toEqual([101, 101])
})
