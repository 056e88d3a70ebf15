import { Collector, checkPeriod } from './collector.ts'
import type { CollectedMetrics } from './metrics.ts'
import { type MeasuredFlow, Session, type Timers, systemTimers } from './session.ts'

/** Options of an {@link Exporter}. */
export interface ExporterOptions {
  /** Milliseconds from one export to the next. Default 500. */
  readonly exportPeriod?: number
  /** Names begin with `aqueduct`, or with `aqueduct.<prefix>`. Default: no prefix. */
  readonly prefix?: string
  /** Which metrics are collected. Default: all. */
  readonly collector?: Collector
  /** Gets what `export()` throws. Default: a warning of the process. */
  readonly onError?: (error: unknown) => void
  /** What says that a period is over. Default: timers that do not keep the program alive. */
  readonly timers?: Timers
}

const AQUEDUCT = 'aqueduct'

const warn = (error: unknown): void => {
  process.emitWarning(`metrics could not be exported: ${String(error)}`, 'AqueductWarning')
}

/**
 * Hands the metrics of flows to `target`, period by period. Extend it for a destination that is not StatsD.
 *
 * @example
 * ```ts
 * import { Flow } from 'aqueduct-ts'
 * import { type CollectedMetrics, Exporter } from 'aqueduct-ts/statsd'
 * import { SumHandler } from './sum.ts'
 *
 * class ConsoleExporter extends Exporter<Console> {
 *   export({ tasks }: CollectedMetrics): void {
 *     this.target.log(`${this.prefix}: ${tasks.complete} tasks`)
 *   }
 * }
 *
 * const flow = new Flow([SumHandler])
 * new ConsoleExporter(console, { exportPeriod: 10_000 }).attach(flow)
 * await flow.start()
 * await flow.stop() // the last export
 * ```
 */
export abstract class Exporter<Target> {
  readonly target: Target
  /** Milliseconds. */
  readonly exportPeriod: number
  /** What all names begin with. */
  readonly prefix: string
  readonly collector: Collector
  readonly #onError: (error: unknown) => void
  readonly #timers: Timers

  /** @throws InvalidOptionError */
  constructor(target: Target, options: ExporterOptions = {}) {
    const { exportPeriod = 500, prefix } = options
    this.target = target
    this.exportPeriod = checkPeriod('exportPeriod', exportPeriod)
    this.prefix = prefix === undefined ? AQUEDUCT : `${AQUEDUCT}.${prefix}`
    this.collector = options.collector ?? new Collector()
    this.#onError = options.onError ?? warn
    this.#timers = options.timers ?? systemTimers
  }

  /** Sends what was collected in a period. */
  abstract export(metrics: CollectedMetrics): void

  /**
   * Exports a flow's metrics whenever it runs: from each of its starts on, and what is left when it has stopped. The
   * returned function ends that. Several flows share their names unless each has an exporter with a prefix of its own.
   */
  attach(flow: MeasuredFlow): () => void {
    const session = new Session(flow, {
      collector: this.collector,
      exportPeriod: this.exportPeriod,
      timers: this.#timers,
      export: (metrics) => this.export(metrics),
      onError: this.#onError,
    })
    return () => session.close()
  }
}
