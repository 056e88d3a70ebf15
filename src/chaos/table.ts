import type { ChaosReport, Phases } from './report.ts'

/** A report for people. */
export function toTable(report: ChaosReport): string {
  const { failedBy, throughputShare, harmful } = report
  const codes = Object.entries(failedBy).map(([code, count]) => `${code} ${count}`)
  const rows: [name: string, value: string | number, remark?: string][] = [
    ['seed', report.seed, 'repeats the schedule, with the same options'],
    ['seconds', report.seconds.toFixed(1)],
    [
      'kills',
      report.kills,
      `and ${report.guestKills} of clients; ${harmful.deadly} deadly and ${harmful.hanging} hanging tasks`,
    ],
    [
      'restarts',
      report.restarts,
      `all workers ran again ${report.recoveryMs.toFixed(0)} ms after the storm`,
    ],
    [
      'outages',
      report.outages,
      'a step’s workers were killed again and again before they were ready',
    ],
    ['admitted', report.admitted],
    ['  completed', report.completed],
    ['  failed', report.failed, codes.join(', ')],
    ['  timed out', report.timedOut],
    ['  cancelled', report.cancelled],
    ['  lost', report.lost, 'must be 0'],
    ['settled twice', report.settledTwice, 'must be 0'],
    ['wrong results', report.wrongResults, 'must be 0'],
    ['imbalances', report.imbalances, 'must be 0: samples at which the books did not balance'],
    ['blocks at end', report.blocksInUseAtEnd, 'must be 0'],
    ['wedged', report.wedged, 'must be 0'],
    ['strays', report.strayProcesses, 'must be 0'],
    ['p50', phases(report.p50Ms, 1), 'ms before, during and after'],
    ['p99', phases(report.p99Ms, 1), 'ms'],
    ['throughput', phases(report.throughput, 0), 'tasks per second'],
    ['share', throughputShare.toFixed(3), remarkOnShare(report)],
  ]
  const nameWidth = Math.max(...rows.map(([name]) => name.length))
  const valueWidth = Math.max(...rows.map(([, value]) => String(value).length))
  return [
    ...rows.map(([name, value, remark = '']) =>
      `${name.padEnd(nameWidth)}  ${String(value).padStart(valueWidth)}  ${remark}`.trimEnd(),
    ),
    ...report.problems.map((problem) => `problem: ${problem}`),
  ].join('\n')
}

const phases = ({ before, during, after }: Phases<number>, digits: number): string =>
  [before, during, after].map((value) => value.toFixed(digits)).join(' / ')

function remarkOnShare({
  throughputOfSpared: spared,
  throughputShareBesideSpared: beside,
}: ChaosReport): string {
  const what = 'throughput after / before'
  if (spared === undefined || beside === undefined) return what
  const theirs = (spared.after / spared.before).toFixed(3)
  return `${what}; of a flow that was spared ${theirs}; beside that one ${beside.toFixed(3)}`
}
