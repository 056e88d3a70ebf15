import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { DiagnosticsMessages, FlowMetrics, FlowState, FlowStats } from '../../index.ts'
import { type Definition, type Reading, definitions } from './definitions.ts'
import { type Point, sumOf } from './points.ts'

/** What is needed of a flow. */
export interface MeasuredFlow {
  readonly state: FlowState
  metrics(): FlowMetrics
  stats(): FlowStats
  on(event: 'state', listener: (state: FlowState) => void): unknown
  off(event: 'state', listener: (state: FlowState) => void): unknown
}

/** A flow under its name. What it has counted goes on where it was when the flow is started anew. */
export class MonitoredFlow {
  readonly #flow: MeasuredFlow
  readonly #label: { readonly flow: string }
  /** Of former runs, by metric. */
  readonly #past = new Map<Definition, Point[]>()
  readonly #restarts = new Map<string, number>()
  #reading: Reading | undefined

  constructor(flow: MeasuredFlow, name: string) {
    this.#flow = flow
    this.#label = { flow: name }
    flow.on('state', this.#onState)
    subscribe('aqueduct:worker:restart', this.#onRestart)
  }

  /** Leaves the flow alone from now on. */
  close(): void {
    this.#flow.off('state', this.#onState)
    unsubscribe('aqueduct:worker:restart', this.#onRestart)
  }

  points(definition: Definition): Point[] {
    const past = this.#past.get(definition) ?? []
    const points = sumOf([...past, ...definition.read(this.#read())])
    return points.map((it) => ({ ...it, labels: { ...this.#label, ...it.labels } }))
  }

  /** All metrics of a scrape are asked for at once: they come from one reading. */
  #read(): Reading {
    if (this.#reading !== undefined) return this.#reading
    queueMicrotask(() => (this.#reading = undefined))
    const { state } = this.#flow
    this.#reading = {
      state,
      metrics: this.#flow.metrics(),
      stats: this.#flow.stats(),
      restarts: this.#restarts,
    }
    return this.#reading
  }

  /** When a flow is about to start anew it still shows how the last run has ended. */
  readonly #onState = (state: FlowState): void => {
    this.#reading = undefined
    if (state !== 'starting') return
    const last = { ...this.#read(), restarts: new Map<string, number>() } // those are never reset
    for (const definition of definitions) {
      if (definition.type === 'gauge') continue
      const past = this.#past.get(definition) ?? []
      this.#past.set(definition, sumOf([...past, ...definition.read(last)]))
    }
    this.#reading = undefined
  }

  readonly #onRestart = (message: unknown): void => {
    const { flow, step } = message as DiagnosticsMessages['aqueduct:worker:restart']
    if (flow === this.#flow) this.#restarts.set(step, (this.#restarts.get(step) ?? 0) + 1)
  }
}
