import { InvalidOptionError } from '../../index.ts'

/** Kinds of metrics that can be left out. Those of tasks, memory and processes are always collected. */
export type MetricsType = 'taskTimers' | 'queueSize'

const metricsTypes: readonly MetricsType[] = ['taskTimers', 'queueSize']

/** Options of {@link Collector}. */
export interface CollectorOptions {
  /**
   * What is collected. `taskTimers`: times and sizes of tasks and batches; `queueSize`: the lengths of queues. Default: all;
   * an empty list leaves the counts of tasks, the memory and the processes.
   */
  readonly collectibleMetrics?: readonly MetricsType[]
  /** Milliseconds from one look at the queues to the next. Default 1,000. */
  readonly qsizeCollectPeriod?: number
}

/** Says which metrics an exporter collects, and how often it looks at the queues. */
export class Collector {
  readonly collectibleMetrics: readonly MetricsType[]
  /** Milliseconds. */
  readonly qsizeCollectPeriod: number

  /** @throws InvalidOptionError */
  constructor(options: CollectorOptions = {}) {
    const { collectibleMetrics = metricsTypes, qsizeCollectPeriod = 1_000 } = options
    const unknown = collectibleMetrics.find((type) => !metricsTypes.includes(type))
    if (unknown !== undefined) {
      throw new InvalidOptionError(
        'collectibleMetrics',
        `the collector: 'collectibleMetrics' has ${metricsTypes.map((type) => `'${type}'`).join(' and ')}, not '${unknown}'`,
      )
    }
    this.collectibleMetrics = [...collectibleMetrics]
    this.qsizeCollectPeriod = checkPeriod('qsizeCollectPeriod', qsizeCollectPeriod)
  }

  isCollectible(type: MetricsType): boolean {
    return this.collectibleMetrics.includes(type)
  }
}

/** The most milliseconds that a timer takes. */
const LONGEST_PERIOD = 2 ** 31 - 1

/** Throws InvalidOptionError unless a period is one that a timer can keep. */
export function checkPeriod(option: string, period: number): number {
  if (typeof period === 'number' && period >= 1 && period <= LONGEST_PERIOD) return period
  throw new InvalidOptionError(
    option,
    `'${option}' must be a number of milliseconds from 1 to ${LONGEST_PERIOD}, not ${String(period)}`,
  )
}
