import { describe, expect, test } from 'vitest'
import type { ChaosProgress } from '../../src/chaos/chaos-options.ts'
import { brokenInvariants } from '../../src/chaos/report.ts'
import { runChaos } from '../../src/chaos/run-chaos.ts'
import { flawed } from '../fixtures/chaos/services.ts'
import { rejection } from '../support/flow.ts'

const quick = { seconds: 2, kills: 3, seed: 1, inFlight: 8 }
const withoutSpeed = { speed: false }

describe('a storm', () => {
  test('finds nothing wrong with the library’s own service', async () => {
    const progress: ChaosProgress[] = []
    const report = await runChaos({
      ...quick,
      seconds: 4,
      deadly: 1,
      guestKills: 1,
      onProgress: (now) => progress.push(now),
    })
    expect(report.problems).toEqual([])
    expect(brokenInvariants(report, withoutSpeed)).toEqual([])
    expect(report).toMatchObject({
      seed: 1,
      kills: 3,
      guestKills: 1,
      harmful: { deadly: 1, hanging: 0 },
    })
    expect(report.restarts).toBeGreaterThanOrEqual(4)
    const { admitted, completed, failed, timedOut, cancelled } = report
    expect(admitted).toBe(completed + failed + timedOut + cancelled)
    expect(completed).toBeGreaterThan(100)
    expect(new Set(progress.map(({ phase }) => phase))).toContain('storm')
    expect(progress.at(-1)).toMatchObject({ kills: 3, phase: 'after' })
  })

  test('rages over a service of one’s own, while its tasks run', async () => {
    const report = await runChaos(quick, flawed())
    expect(brokenInvariants(report, withoutSpeed)).toEqual([])
    expect(report).toMatchObject({ kills: 3, harmful: { deadly: 0 }, wrongResults: 0 })
    expect(report.restarts).toBeGreaterThanOrEqual(3)
    expect(report.throughputOfSpared).toBeUndefined()
    expect(report.throughput.before).toBeGreaterThan(0)
    expect(report.p99Ms.after).toBeGreaterThan(0)
  })

  test('finds results that are wrong', async () => {
    const report = await runChaos({ ...quick, kills: 0 }, flawed('wrong'))
    expect(report.wrongResults).toBeGreaterThan(0)
    expect(report.problems[0]).toContain('FlawedTask came back wrong')
    expect(brokenInvariants(report, withoutSpeed)).toEqual([
      `wrongResults is ${report.wrongResults}, and must be 0`,
    ])
  })

  test('finds tasks that are never settled, and does not wait for them for ever', async () => {
    const report = await runChaos({ ...quick, kills: 0, grace: 1 }, flawed('forgotten', 300))
    expect(report.lost).toBeGreaterThan(0)
    expect(brokenInvariants(report, withoutSpeed)).toContain(
      `lost is ${report.lost}, and must be 0`,
    )
  })

  test('finds a flow that is no more', async () => {
    const report = await runChaos(
      { ...quick, kills: 1, grace: 1 },
      flawed(undefined, 1, { onWorkerDeath: 'stop' }),
    )
    expect(report.state).toBe('failed')
    expect(brokenInvariants(report, withoutSpeed)).toContain(
      'the flow is failed, and must be running',
    )
  })

  test('refuses options that it does not have, before anything is started', async () => {
    const service = flawed()
    // @ts-expect-error -- the option is misspelt
    expect(await rejection(runChaos({ kill: 3 }, service))).toMatchObject({
      code: 'AQ_INVALID_OPTION',
      message: "runChaos() has no option 'kill'; did you mean 'kills'?",
    })
    expect((service.flow as { state: string }).state).toBe('created')
  })

  test('ends early when its signal is aborted, and leaves no worker', async () => {
    const service = flawed()
    const enough = new AbortController()
    const storm = runChaos(
      { ...quick, seconds: 600, signal: enough.signal, onProgress: () => enough.abort('enough') },
      service,
    )
    expect(await rejection(storm)).toBe('enough')
    expect((service.flow as { state: string }).state).toBe('stopped')
  })
})
