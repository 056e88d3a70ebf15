// StatsD, under the names that Avito's Aqueduct for Python gives its metrics.
import { type Histogram, samplesOf } from '../index.ts'
import { Exporter } from './statsd/exporter.ts'
import type { CollectedMetrics, Named } from './statsd/metrics.ts'

export { Collector, type CollectorOptions, type MetricsType } from './statsd/collector.ts'
export { Exporter, type ExporterOptions } from './statsd/exporter.ts'
export type { CollectedMetrics, Named } from './statsd/metrics.ts'
export type { MeasuredFlow, Timers } from './statsd/session.ts'

interface TimingTarget {
  timing(name: string, value: number): void
}
interface CountTarget extends TimingTarget {
  count(name: string, value: number): void
}
interface IncrementTarget extends TimingTarget {
  increment(name: string, value: number): void
}

/** A client of StatsD: one with `timing` and either `count` or, as that of `hot-shots`, `increment`. */
export type StatsDTarget = CountTarget | IncrementTarget

/** The most values that are sent for one name and period. */
const MAX_TIMINGS = 100

/**
 * Sends a flow's metrics to StatsD.
 *
 * | name after `aqueduct.` or `aqueduct.<prefix>.` | sent as | |
 * |---|---|---|
 * | `handle_time.step1_MyHandler`, `handle_time.total` | timing, ms | per task: the handler took for its batch; `process()` took |
 * | `transfer_time.from_main_process_to_step1_MyHandler` | timing, ms | per task: on the way |
 * | `task_size.from_step1_MyHandler_to_main_process` | timing, bytes | per task: its fields and payloads |
 * | `batch_time.step1_MyHandler`, `batch_size.step1_MyHandler` | timing, ms and tasks | per batch, where `batchSize` is above 1 |
 * | `qsize.from_main_process_to_step1_MyHandler` | timing, tasks | every second |
 * | `tasks.complete`, `tasks.timeout`, `tasks.cancel` | count | |
 * | `memory_usage.step0_MyHandler`, `….step0_MyHandler_nprocs_sum`, `….all_memory_usage` | timing, bytes | every second; these count steps from 0 |
 * | `processes.running`, `processes.dead` | count | every second: workers that are alive; workers that have died |
 *
 * A route of a priority above 0 begins with it: `transfer_time.p_1_from_main_process_to_step1_MyHandler`.
 *
 * Workers keep histograms, so what is sent is their values to an eighth, with an exact sum; a single value is exact.
 * At most 100 values are sent for each name and period: of more, 100 quantiles at equal distances, so that percentiles and means
 * stay what they are and traffic is bounded. Numbers of tasks are to be taken from `tasks.…`, not from the number of
 * timings.
 *
 * @example
 * ```ts
 * import { StatsD } from 'hot-shots'
 * import { Flow } from 'aqueduct-ts'
 * import { ToStatsDMetricsExporter } from 'aqueduct-ts/statsd'
 * import { SumHandler } from './sum.ts'
 *
 * const statsd = new StatsD({ host: '127.0.0.1', port: 8125 })
 * const flow = new Flow([SumHandler])
 * new ToStatsDMetricsExporter(statsd, { prefix: 'sum' }).attach(flow)
 * await flow.start()
 * await flow.stop() // sends what is left
 * statsd.close()
 * ```
 */
export class ToStatsDMetricsExporter extends Exporter<StatsDTarget> {
  export(metrics: CollectedMetrics): void {
    this.#histograms('handle_time', metrics.handleTimes)
    this.#histograms('transfer_time', metrics.transferTimes)
    this.#histograms('batch_time', metrics.batchTimes)
    this.#histograms('batch_size', metrics.batchSizes)
    this.#values('qsize', metrics.queueSizes)
    this.#histograms('task_size', metrics.taskSizes)
    this.#counts('tasks', metrics.tasks)
    this.#values('memory_usage', metrics.memoryUsage)
    this.#counts('processes', metrics.processes)
  }

  #histograms(group: string, histograms: Named<Histogram>): void {
    for (const [name, histogram] of histograms)
      for (const value of samplesOf(histogram, MAX_TIMINGS)) this.#timing(group, name, value)
  }

  #values(group: string, values: Named<number>): void {
    for (const [name, value] of values) this.#timing(group, name, value)
  }

  #timing(group: string, name: string, value: number): void {
    this.target.timing(`${this.prefix}.${group}.${name}`, value)
  }

  #counts(group: string, counts: Readonly<Record<string, number>>): void {
    const { target } = this
    for (const [key, count] of Object.entries(counts)) {
      if (count <= 0) continue
      const name = `${this.prefix}.${group}.${key}`
      if ('count' in target) target.count(name, count)
      else target.increment(name, count)
    }
  }
}
