import type { BatchObservableResult, Meter, Observable } from '@opentelemetry/api'
import { type Definition, definitions } from '../measures/definitions.ts'
import { type MeasuredFlow, MonitoredFlow } from '../measures/monitored-flow.ts'
import type { Labels, Point } from '../measures/points.ts'

/** An instrument, and what of a metric's values it shows. */
interface Instrument {
  readonly definition: Definition
  readonly suffix: Point['suffix']
  readonly observable: Observable
}

/** `aqueduct_tasks_total` is `aqueduct.tasks` here: the unit is not part of the name. */
const nameOf = (name: string): string =>
  name.replace(/_(total|seconds|bytes)$/, '').replaceAll('_', '.')

const unitOf = (name: string): string =>
  name.endsWith('_seconds') ? 's' : name.endsWith('_bytes') ? 'By' : '1'

/** The API has no histograms that are read: of ours there are the sum and the count. */
function instrumentsOf(definition: Definition, meter: Meter): Instrument[] {
  const { type, help: description } = definition
  const name = nameOf(definition.name)
  const unit = unitOf(definition.name)
  if (type === 'gauge') {
    const observable = meter.createObservableGauge(name, { description, unit })
    return [{ definition, suffix: '', observable }]
  }
  if (type === 'counter') {
    const observable = meter.createObservableCounter(name, { description, unit })
    return [{ definition, suffix: '', observable }]
  }
  return [
    {
      definition,
      suffix: '_sum',
      observable: meter.createObservableCounter(`${name}.sum`, { description, unit }),
    },
    {
      definition,
      suffix: '_count',
      observable: meter.createObservableCounter(`${name}.count`, { description, unit: '1' }),
    },
  ]
}

const attributesOf = (labels: Labels): Record<string, string> =>
  Object.fromEntries(Object.entries(labels).map(([name, value]) => [`aqueduct.${name}`, value]))

/** Has a meter show a flow whenever it is read. The returned function ends that. */
export function showFlow(flow: MeasuredFlow, name: string, meter: Meter): () => void {
  const instruments = definitions.flatMap((definition) => instrumentsOf(definition, meter))
  const observables = instruments.map(({ observable }) => observable)
  const monitored = new MonitoredFlow(flow, name)
  const observe = (result: BatchObservableResult): void => {
    for (const { definition, suffix, observable } of instruments)
      for (const point of monitored.points(definition))
        if (point.suffix === suffix)
          result.observe(observable, point.value, attributesOf(point.labels))
  }
  meter.addBatchObservableCallback(observe, observables)
  return () => {
    meter.removeBatchObservableCallback(observe, observables)
    monitored.close()
  }
}
