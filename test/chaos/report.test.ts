import { describe, expect, test } from 'vitest'
import { type ChaosReport, brokenInvariants } from '../../src/chaos/report.ts'

const phases = { before: 1, during: 1, after: 1 }

/** A report of a storm in which everything held. */
const sound: ChaosReport = {
  seed: 1,
  seconds: 60,
  kills: 200,
  guestKills: 10,
  harmful: { deadly: 10, hanging: 5 },
  admitted: 100,
  completed: 90,
  failed: 5,
  failedBy: { AQ_TASK_POISONED: 5 },
  timedOut: 3,
  cancelled: 2,
  rejected: 0,
  lost: 0,
  settledTwice: 0,
  wrongResults: 0,
  imbalances: 0,
  blocksInUseAtEnd: 0,
  wedged: 0,
  strayProcesses: 0,
  state: 'running',
  restarts: 220,
  outages: 0,
  recoveryMs: 100,
  p50Ms: phases,
  p99Ms: phases,
  throughput: phases,
  throughputOfSpared: { before: 1, after: 1 },
  throughputShare: 1,
  throughputShareBesideSpared: 1,
  problems: [],
}

const broken = (change: Partial<ChaosReport>, speed = true): string[] =>
  brokenInvariants({ ...sound, ...change }, { speed })

describe('the invariants of a storm', () => {
  test('hold where everything did', () => {
    expect(broken({})).toEqual([])
  })

  test.each([
    'settledTwice',
    'wrongResults',
    'imbalances',
    'blocksInUseAtEnd',
    'wedged',
    'strayProcesses',
  ] as const)('%s must be 0', (name) => {
    expect(broken({ [name]: 2 })).toEqual([`${name} is 2, and must be 0`])
  })

  test.each<[string, Partial<ChaosReport>, string]>([
    ['a task is lost', { admitted: 101, lost: 1 }, 'lost is 1, and must be 0'],
    ['sums are not right', { failed: 4 }, 'admitted is 100, and what became of them adds up to 99'],
    ['the flow has failed', { state: 'failed' }, 'the flow is failed, and must be running'],
    [
      'nothing was completed',
      { completed: 0, failed: 95 },
      'completed is 0: nothing was handled at all',
    ],
  ])('are broken when %s', (_, change, message) => {
    expect(broken(change)).toEqual([message])
  })

  test('are broken when the flow is slower than before', () => {
    expect(broken({ throughputShare: 0.9, throughputShareBesideSpared: 0.94 })).toEqual([
      'throughputShare is 0.900, and 0.940 beside a spared flow, and must be at least 0.95',
    ])
    expect(broken({ throughputShare: 0.9, throughputShareBesideSpared: undefined })).toHaveLength(1)
    expect(broken({ throughputShare: Number.NaN, throughputShareBesideSpared: 0 })).toHaveLength(1)
  })

  test('hold when the machine is slower, or speed is not asked for', () => {
    expect(broken({ throughputShare: 0.5, throughputShareBesideSpared: 0.96 })).toEqual([])
    expect(broken({ throughputShare: 0.5, throughputShareBesideSpared: 0.5 }, false)).toEqual([])
  })
})
