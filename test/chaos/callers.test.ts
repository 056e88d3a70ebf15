import { type ChildProcess, spawn } from 'node:child_process'
import { expect, test } from 'vitest'
import { type Plan, type Scene, keepCalling } from '../../src/chaos/attempt.ts'
import { Guests } from '../../src/chaos/guests.ts'
import { Ledger } from '../../src/chaos/ledger.ts'
import { builtInService } from '../../src/chaos/built-in.ts'
import { calmPlan } from '../../src/chaos/plans.ts'
import type { ChaosService } from '../../src/chaos/service.ts'
import type { BaseTask, Flow } from '../../src/index.ts'

const startDeaf = (): ChildProcess =>
  spawn(process.execPath, ['-e', "process.on('message', () => {})"], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })

test('a caller who is refused lets its program go on before it tries again', async () => {
  const service = builtInService() as unknown as ChaosService
  const flow = (service.flow as () => Flow<BaseTask>)() // not started: it refuses at once
  const ledger = new Ledger()
  const scene: Scene = {
    service,
    flow,
    ledger,
    latency: undefined,
    seenWorkers: new Set(),
    underWay: new Set(),
    outages: 0,
    isStormy: false,
  }
  let isOver = false
  setImmediate(() => {
    isOver = true // never seen by a caller that tries again without a pause
  })
  const plans: Plan[] = []
  const nextPlan = (): Plan => {
    if (plans.length > 100) throw new Error('it never pauses')
    plans.push(calmPlan(service, Math.random))
    return plans.at(-1)!
  }
  await keepCalling(scene, nextPlan, () => isOver)
  expect(plans).toHaveLength(1)
  expect(ledger.problems).toEqual([])
})

test('a client in another process that does not finish is ended, and told of', async () => {
  const ledger = new Ledger()
  const guest = startDeaf()
  const guests = new Guests(() => guest, ledger)
  await guests.finish(0.5)
  expect(guest.signalCode).toBe('SIGKILL')
  expect(ledger.problems).toEqual(['a client in another process did not finish'])
})
