import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import { Flow, type FlowOptions, FlowStep, type Histogram } from '../../src/index.ts'
import { type PrometheusOptions, registerFlow } from '../../src/integrations/prometheus.ts'
import { First, MeasuredTask, Second } from '../fixtures/measured.ts'
import { Journal, describeIsolations, rejection, started, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { hasPromtool, promtool } from '../support/promtool.ts'

/** The lines of an exposition: values by name and labels, as they stand there. */
async function scrape(registry: Registry): Promise<Map<string, number>> {
  const lines = (await registry.metrics()).split('\n').filter((line) => /^[^#]/.test(line))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      return [line.slice(0, at), Number(line.slice(at + 1))]
    }),
  )
}

const pipeline = (isolation: 'process' | 'thread', options: FlowOptions = {}): Flow<MeasuredTask> =>
  new Flow(
    [
      new FlowStep(First, { isolation, nprocs: 2, batchSize: 4, retries: 0 }),
      new FlowStep(Second, { isolation, handleCondition: 'wantsSecond' }),
    ],
    { queuePriorities: 2, ...options },
  )

const run = (flow: Flow<MeasuredTask>, count: number, priority = 0): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, () => flow.process(new MeasuredTask(), { priority })))

/** How many of a histogram's values are at most so large: bounds that are none of its buckets are undefined. */
function countUpTo({ bounds, counts }: Histogram, bound: number): number | undefined {
  const bucket = bounds.findIndex((it) => Math.abs(it - bound) < 1e-9 * bound)
  if (bucket < 0) return undefined
  return counts.slice(0, bucket + 1).reduce((sum, count) => sum + count, 0)
}

describeIsolations('Prometheus', (isolation) => {
  test('every counter and histogram is exactly what the flow has measured', async () => {
    const registry = new Registry()
    await using flow = await started(pipeline(isolation))
    registerFlow(flow, { registry, name: 'app' })
    await run(flow, 20)
    await run(flow, 10, 1)
    await flow.process(new MeasuredTask({ skips: true }))
    await rejection(flow.process(new MeasuredTask(), { signal: AbortSignal.abort() }))
    await rejection(flow.process(new MeasuredTask(), { timeout: 0 }))
    const metrics = flow.metrics()
    const values = await scrape(registry)

    const { tasks, steps, edges, totalMs } = metrics
    expect(tasks.completed).toBe(31)
    expect(values.get('aqueduct_tasks_total{flow="app",outcome="completed"}')).toBe(31)
    expect(values.get('aqueduct_tasks_total{flow="app",outcome="timed_out"}')).toBe(tasks.timedOut)
    expect(values.get('aqueduct_step_tasks_total{flow="app",step="First"}')).toBe(31)
    expect(values.get('aqueduct_step_tasks_total{flow="app",step="Second"}')).toBe(30)

    const end = (it: number | 'client'): string => (it === 'client' ? it : steps[it]!.name)
    const way = ({ from, to, priority }: (typeof edges)[number]): string =>
      `from="${end(from)}",to="${end(to)}",priority="${priority}"`
    const histograms: [name: string, labels: string, histogram: Histogram, unit: number][] = [
      ['aqueduct_task_duration_seconds', '', totalMs, 1e-3],
      ['aqueduct_batch_wait_duration_seconds', ',step="First"', steps[0]!.batchMs, 1e-3],
      ['aqueduct_batch_tasks', ',step="First"', steps[0]!.batchTasks, 1],
      ...steps.map(({ name, handleMs }): [string, string, Histogram, number] => [
        'aqueduct_handle_duration_seconds',
        `,step="${name}"`,
        handleMs,
        1e-3,
      ]),
      ...edges.flatMap((edge): [string, string, Histogram, number][] => [
        ['aqueduct_transfer_duration_seconds', `,${way(edge)}`, edge.transferMs, 1e-3],
        ['aqueduct_task_size_bytes', `,${way(edge)}`, edge.taskBytes, 1],
      ]),
    ]
    expect(edges).toHaveLength(7)
    const expected = new Map<string, number | undefined>()
    for (const [name, labels, histogram, unit] of histograms) {
      expected.set(`${name}_count{flow="app"${labels}}`, histogram.count)
      expected.set(`${name}_sum{flow="app"${labels}}`, histogram.sum * unit)
      for (const line of values.keys()) {
        const [, le] = /_bucket\{flow="app",le="([^"]+)"/.exec(line) ?? []
        if (le === undefined || line !== `${name}_bucket{flow="app",le="${le}"${labels}}`) continue
        const isLast = le === '+Inf'
        expected.set(line, isLast ? histogram.count : countUpTo(histogram, Number(le) / unit))
      }
    }
    const lines = [...values].filter(([line]) => /_(bucket|sum|count)\{/.test(line))
    expect(lines.length).toBeGreaterThan(20 * 10)
    expect(new Map(lines)).toEqual(expected)
  })

  test('counters and histograms go on where they were when the flow is started anew', async () => {
    const registry = new Registry()
    const flow = pipeline(isolation)
    registerFlow(flow, { registry })
    const growing = async (): Promise<Map<string, number>> => {
      const values = await scrape(registry)
      return new Map([...values].filter(([line]) => /_(total|bucket|sum|count)\{/.test(line)))
    }
    let before = await growing()
    for (let runs = 1; runs <= 3; runs++) {
      await flow.start()
      await run(flow, 5)
      const running = await growing()
      await flow.stop()
      const stopped = await growing()
      for (const later of [running, stopped]) {
        const less = [...before].filter(([line, value]) => !(later.get(line)! >= value))
        expect(less).toEqual([])
        before = later
      }
      expect(before.get('aqueduct_tasks_total{flow="flow",outcome="completed"}')).toBe(5 * runs)
      expect(before.get('aqueduct_task_duration_seconds_count{flow="flow"}')).toBe(5 * runs)
    }
  })

  test('gauges show queues by priority, workers, memory and the state as they are', async () => {
    const registry = new Registry()
    await using gate = await Gate.close()
    const flow = await started(pipeline(isolation, { memory: 2 ** 24 }))
    registerFlow(flow, { registry, name: 'app' })
    const hold = (): Promise<unknown> => flow.process(new MeasuredTask({ gate: gate.name }))
    const held = [hold()]
    await gate.visited(1)
    held.push(hold()) // for the other worker
    await gate.visited(2)
    const waiting = [run(flow, 3), run(flow, 2, 1)]
    const values = await scrape(registry)
    const of = (name: string, labels = ''): number | undefined =>
      values.get(`${name}{flow="app"${labels}}`)
    expect(of('aqueduct_tasks_pending')).toBe(7)
    expect(of('aqueduct_queue_tasks', ',step="First",priority="0"')).toBe(3)
    expect(of('aqueduct_queue_tasks', ',step="First",priority="1"')).toBe(2)
    expect(of('aqueduct_queue_tasks', ',step="Second",priority="0"')).toBe(0)
    expect(of('aqueduct_workers', ',step="First",state="running"')).toBe(2)
    expect(of('aqueduct_workers', ',step="First",state="dead"')).toBe(0)
    expect(of('aqueduct_worker_memory_bytes', ',step="First"')).toBeGreaterThan(2 ** 20)
    expect(of('aqueduct_memory_max_bytes')).toBe(2 ** 24)
    expect(of('aqueduct_memory_in_use_bytes')).toBe(flow.stats().memory.bytesInUse)
    expect(of('aqueduct_flow_state', ',state="running"')).toBe(1)
    gate.open()
    await Promise.all([...held, ...waiting])
    await flow.stop()
    const stopped = await scrape(registry)
    expect(stopped.get('aqueduct_flow_state{flow="app",state="running"}')).toBe(0)
    expect(stopped.get('aqueduct_flow_state{flow="app",state="stopped"}')).toBe(1)
  })

  test('a worker that died and was replaced counts as a death and a restart of its step', async () => {
    const registry = new Registry()
    const journal = new Journal()
    await using flow = await started(pipeline(isolation, { logger: journal }))
    registerFlow(flow, { registry })
    await rejection(flow.process(new MeasuredTask({ kills: true })))
    await journal.reached('info', 1)
    await until(() => flow.metrics().workers.running === 3, 'the replacement is ready')
    const values = await scrape(registry)
    expect(values.get('aqueduct_worker_deaths_total{flow="flow"}')).toBe(1)
    expect(values.get('aqueduct_worker_restarts_total{flow="flow",step="First"}')).toBe(1)
    expect(values.get('aqueduct_worker_restarts_total{flow="flow",step="Second"}')).toBe(0)
  })

  test.skipIf(!hasPromtool)('promtool finds nothing to complain of', async () => {
    const registry = new Registry()
    await using flow = await started(pipeline(isolation))
    registerFlow(flow, { registry })
    await run(flow, 10)
    const input = await registry.metrics()
    expect(await promtool(['check', 'metrics'], { input })).toEqual({ code: 0, said: '' })
  })
})

const flow = (): Flow<MeasuredTask> => pipeline('thread')

describe('registerFlow()', () => {
  test('shows several flows under the same metrics, and takes each off again', async () => {
    const registry = new Registry()
    const first = flow()
    const leaveFirst = registerFlow(first, { registry, name: 'first' })
    const leaveSecond = registerFlow(flow(), { registry, name: 'second' })
    const states = async (): Promise<string[]> =>
      [...(await scrape(registry)).keys()].filter((line) => /state="created"/.test(line))
    expect(await states()).toHaveLength(2)
    leaveFirst()
    expect(await states()).toEqual(['aqueduct_flow_state{flow="second",state="created"}'])
    expect(first.listenerCount('state')).toBe(0)
    leaveFirst() // says nothing new
    leaveSecond()
    expect(registry.getMetricsAsArray()).toEqual([])
    registerFlow(first, { registry, name: 'first' })
    expect(await states()).toHaveLength(1)
  })

  test('leaves alone what else the registry shows, and comes back where it was cleared', async () => {
    const registry = new Registry()
    registerFlow(flow(), { registry, name: 'first' })
    registry.clear()
    registerFlow(flow(), { registry, name: 'second' })
    const values = await scrape(registry)
    expect(values.get('aqueduct_tasks_pending{flow="first"}')).toBe(0)
    expect(values.get('aqueduct_tasks_pending{flow="second"}')).toBe(0)
    registry.resetMetrics() // nothing is kept in them that could be lost
    expect(await scrape(registry)).toEqual(values)
  })

  test('is read by aggregators of cluster processes too', async () => {
    const registry = new Registry()
    registerFlow(flow(), { registry })
    const metrics = await registry.getMetricsAsJSON()
    const duration = metrics.find(({ name }) => name === 'aqueduct_task_duration_seconds')
    expect(duration?.values.at(-1)).toEqual({
      metricName: 'aqueduct_task_duration_seconds_count',
      labels: { flow: 'flow' },
      value: 0,
    })
  })

  test.each<[what: string, options: object]>([
    ['registry', { registry: 'prom-client' }],
    ['name', { name: '' }],
    ['nmae', { nmae: 'typo' }],
  ])('refuses an option that is wrong: %s', (option, options) => {
    expect(() => registerFlow(flow(), options as PrometheusOptions)).toThrow(
      expect.objectContaining({ code: 'AQ_INVALID_OPTION', option }) as Error,
    )
  })

  test('refuses a second flow of the same name', () => {
    const registry = new Registry()
    registerFlow(flow(), { registry })
    expect(() => registerFlow(flow(), { registry })).toThrow("a flow named 'flow' already")
  })
})
