import { Counter, Gauge, Histogram, type Metric, type Registry } from 'prom-client'
import { InvalidOptionError } from '../../index.ts'
import { type Definition, definitions } from '../measures/definitions.ts'
import { type MeasuredFlow, MonitoredFlow } from '../measures/monitored-flow.ts'
import type { Point } from '../measures/points.ts'

type Values = Awaited<ReturnType<Histogram['get']>>

/** Whose values are read when they are asked for, instead of being observed one by one. */
class SharedHistogram extends Histogram {
  readonly #definition: Definition
  readonly #read: () => Point[]

  constructor(definition: Definition, registry: Registry, read: () => Point[]) {
    super({ ...configurationOf(definition), registers: [registry] })
    this.#definition = definition
    this.#read = read
  }

  override get(): Promise<Values> {
    const { name, help, type } = this.#definition
    const values = this.#read().map(({ suffix, labels, value }) => ({
      metricName: `${name}${suffix}`,
      labels,
      value,
    }))
    // What prom-client's own metrics give; its types have a number as the `type`, and `collect` in it.
    return Promise.resolve({ name, help, type, values, aggregator: 'sum' } as unknown as Values)
  }

  /** What a registry asks for rather than {@link get} when it writes its text. */
  getForPromString(): Promise<Values> {
    return this.get()
  }
}

const configurationOf = ({ name, help, labels }: Definition) => ({
  name,
  help,
  labelNames: ['flow', ...labels],
})

function makeMetric(definition: Definition, registry: Registry, read: () => Point[]): Metric {
  if (definition.type === 'histogram') return new SharedHistogram(definition, registry, read)
  const configuration = { ...configurationOf(definition), registers: [registry] }
  if (definition.type === 'gauge') {
    return new Gauge({
      ...configuration,
      collect() {
        this.reset()
        for (const { labels, value } of read()) this.set(labels, value)
      },
    })
  }
  return new Counter({
    ...configuration,
    collect() {
      this.reset()
      for (const { labels, value } of read()) this.inc(labels, value)
    },
  })
}

/** The flows that a registry shows, all under the same metrics. */
class Exposition {
  readonly #registry: Registry
  readonly #flows = new Map<string, MonitoredFlow>()

  constructor(registry: Registry) {
    this.#registry = registry
  }

  add(flow: MeasuredFlow, name: string): () => void {
    if (this.#flows.has(name)) {
      throw new InvalidOptionError(
        'name',
        `the registry has a flow named '${name}' already: give each a 'name' of its own`,
      )
    }
    this.#show()
    const monitored = new MonitoredFlow(flow, name)
    this.#flows.set(name, monitored)
    return () => {
      if (this.#flows.get(name) !== monitored) return
      monitored.close()
      this.#flows.delete(name)
      if (this.#flows.size > 0) return
      for (const definition of definitions) this.#registry.removeSingleMetric(definition.name)
    }
  }

  /** A registry may have been cleared meanwhile. */
  #show(): void {
    for (const definition of definitions) {
      if (this.#registry.getSingleMetric(definition.name) !== undefined) continue
      makeMetric(definition, this.#registry, () =>
        [...this.#flows.values()].flatMap((flow) => flow.points(definition)),
      )
    }
  }
}

const expositions = new WeakMap<Registry, Exposition>()

/** What a registry shows of flows. */
export function expositionOf(registry: Registry): Exposition {
  const exposition = expositions.get(registry) ?? new Exposition(registry)
  expositions.set(registry, exposition)
  return exposition
}
