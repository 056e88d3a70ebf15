import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { Flow, FlowStep, InvalidOptionError } from '../../src/index.ts'
import {
  type CollectedMetrics,
  Collector,
  Exporter,
  type ExporterOptions,
  ToStatsDMetricsExporter,
} from '../../src/integrations/statsd.ts'
import { First, MeasuredTask, Second } from '../fixtures/measured.ts'
import { started } from '../support/flow.ts'
import { Program } from '../support/flow-program.ts'
import { ManualTimers, StatsDServer } from '../support/statsd.ts'

const isolation = 'thread'
const EXPORT = 500
const PROCESSES = 1_000

/** Keeps what it is to export. */
class Archive extends Exporter<CollectedMetrics[]> {
  export(metrics: CollectedMetrics): void {
    this.target.push(metrics)
  }

  get completed(): number[] {
    return this.target.map(({ tasks }) => tasks.complete)
  }
}

function archive(options: ExporterOptions = {}): { timers: ManualTimers; exporter: Archive } {
  const timers = new ManualTimers()
  return { timers, exporter: new Archive([], { timers, ...options }) }
}

const small = (name?: string): Flow<MeasuredTask> =>
  new Flow([new FlowStep(First, { isolation, ...(name === undefined ? {} : { name }) })])

const tasks = (flow: Flow<MeasuredTask>, count: number): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, () => flow.process(new MeasuredTask({}, 1))))

describe('an exporter', () => {
  test('exports each period of a flow that runs, and what is left when it has stopped', async () => {
    const { timers, exporter } = archive()
    const flow = small()
    exporter.attach(flow)
    expect(timers.periods).toEqual([])
    await flow.start()
    expect(timers.periods).toEqual([EXPORT, PROCESSES, PROCESSES])
    await tasks(flow, 3)
    timers.end(EXPORT)
    timers.end(EXPORT)
    await tasks(flow, 2)
    const stopping = flow.stop()
    await tasks(flow, 1).catch(() => undefined) // not among them
    await stopping
    expect(timers.periods).toEqual([])
    expect(exporter.completed).toEqual([3, 0, 2])
    const times = exporter.target.map(({ handleTimes }) =>
      handleTimes.map(([name, { count }]) => `${name}: ${count}`),
    )
    expect(times).toEqual([['step1_First: 3', 'total: 3'], [], ['step1_First: 2', 'total: 2']])
  })

  test('begins at nothing when the flow is started again', async () => {
    const { exporter } = archive()
    const flow = small()
    exporter.attach(flow)
    for (const count of [4, 2]) {
      await flow.start()
      await tasks(flow, count)
      await flow.stop()
    }
    expect(exporter.completed).toEqual([4, 2])
    expect(exporter.target[1]!.transferTimes.map(([, { count }]) => count)).toEqual([2, 2])
  })

  test('exports nothing of a flow that could not be started', async () => {
    const { timers, exporter } = archive()
    const flow = small()
    exporter.attach(flow)
    await expect(flow.start({ timeout: 0 })).rejects.toMatchObject({ code: 'AQ_START_TIMEOUT' })
    expect(flow.state).toBe('stopped')
    expect([timers.periods, exporter.target]).toEqual([[], []])
  })

  test('of a flow that runs already exports what is measured from now on, until it is detached', async () => {
    const { timers, exporter } = archive()
    await using flow = await started(small())
    await tasks(flow, 5)
    const detach = exporter.attach(flow)
    await tasks(flow, 2)
    timers.end(EXPORT)
    await tasks(flow, 1)
    detach()
    expect(timers.periods).toEqual([])
    await tasks(flow, 7)
    await flow.stop()
    expect(exporter.completed).toEqual([2, 1])
    expect(exporter.target[0]!.handleTimes.map(([, { count }]) => count)).toEqual([2, 2])
  })

  test('may be attached to several flows', async () => {
    const { exporter } = archive()
    await using one = small()
    await using other = small()
    for (const flow of [one, other]) exporter.attach(flow)
    await Promise.all([one.start(), other.start()])
    await tasks(one, 1)
    await tasks(other, 2)
    await one.stop()
    await other.stop()
    expect(exporter.completed).toEqual([1, 2])
  })

  test('names steps by their number, and by what of their name a metric can hold', async () => {
    const { exporter } = archive({
      collector: new Collector({ collectibleMetrics: ['queueSize'] }),
    })
    await using flow = new Flow([
      new FlowStep(First, { isolation, name: 'näher 1.5:a|b@c' }),
      new FlowStep(Second, { isolation }),
      new FlowStep(Second, { isolation }),
    ])
    exporter.attach(flow)
    await flow.start()
    await flow.stop()
    expect(exporter.target[0]!.queueSizes.map(([name]) => name)).toEqual([
      'from_main_process_to_step1_näher_1_5_a_b_c',
      'from_step1_näher_1_5_a_b_c_to_step2_Second',
      'from_step2_Second_to_step3_Second',
      'from_step3_Second_to_main_process',
    ])
  })

  test('does not keep a program alive', async () => {
    await using program = new Program('exporting.ts')
    expect(await program.line()).toBe('attached')
    expect(await program.ended()).toEqual({ code: 0, signal: null })
  })

  test.each<[string, () => unknown]>([
    ['exportPeriod', () => archive({ exportPeriod: 0 })],
    ['exportPeriod', () => archive({ exportPeriod: Infinity })],
    ['qsizeCollectPeriod', () => new Collector({ qsizeCollectPeriod: Number.NaN })],
    ['collectibleMetrics', () => new Collector({ collectibleMetrics: ['qsize' as never] })],
  ])('names the option that is wrong: %s', (option, make) => {
    expect(make).toThrow(InvalidOptionError)
    expect(make).toThrow(expect.objectContaining({ option }))
  })
})

describe('what a target throws', () => {
  class Broken extends Archive {
    broken = true
    override export(metrics: CollectedMetrics): void {
      if (this.broken) throw new Error('no route to host')
      super.export(metrics)
    }
  }

  test('goes to onError; the flow and the next period go on', async () => {
    const timers = new ManualTimers()
    const errors: unknown[] = []
    const exporter = new Broken([], { timers, onError: (error) => errors.push(error) })
    await using flow = small()
    exporter.attach(flow)
    await flow.start()
    await tasks(flow, 1)
    timers.end(EXPORT)
    exporter.broken = false
    await tasks(flow, 2)
    await flow.stop()
    expect(errors).toMatchObject([{ message: 'no route to host' }])
    expect(exporter.completed).toEqual([2])
  })

  test('is a warning of the process otherwise', async () => {
    const exporter = new Broken([], { timers: new ManualTimers() })
    await using flow = await started(small())
    const warned = once(process, 'warning')
    exporter.attach(flow)()
    expect(await warned).toMatchObject([
      {
        name: 'AqueductWarning',
        message: 'metrics could not be exported: Error: no route to host',
      },
    ])
  })
})

describe('the exporter to StatsD', () => {
  test('sends at most 100 values for a name and period, with the percentiles of all', async () => {
    await using server = await StatsDServer.listen()
    await using flow = new Flow([new FlowStep(First, { isolation, queueSize: 1_000 })])
    new ToStatsDMetricsExporter(server.client, {
      timers: new ManualTimers(),
      collector: new Collector({ collectibleMetrics: ['taskTimers'] }),
    }).attach(flow)
    await flow.start()
    // 900 of the 1,000 tasks are small.
    await Promise.all([
      tasks(flow, 900),
      ...Array.from({ length: 100 }, () => flow.process(new MeasuredTask({}, 5_000))),
    ])
    await flow.stop()
    const received = await server.received()
    expect(received.get('count aqueduct.tasks.complete')).toEqual([1_000])
    const sizes = received.get('timing aqueduct.task_size.from_main_process_to_step1_First')!
    expect(sizes).toHaveLength(100)
    expect(sizes.filter((size) => size > 4_000)).toHaveLength(10)
    for (const values of received.values()) expect(values.length).toBeLessThanOrEqual(100)
  })

  test("calls a target's count where it has one", async () => {
    const calls: [string, string, number][] = []
    const target = {
      count: (name: string, value: number) => calls.push(['count', name, value]),
      timing: (name: string, value: number) => calls.push(['timing', name, value]),
      gauge: (name: string, value: number) => calls.push(['gauge', name, value]),
    }
    await using flow = small()
    new ToStatsDMetricsExporter(target, { prefix: 'own', timers: new ManualTimers() }).attach(flow)
    await flow.start()
    await tasks(flow, 2)
    await flow.stop()
    expect(calls).toContainEqual(['count', 'aqueduct.own.tasks.complete', 2])
    expect(calls).toContainEqual(['count', 'aqueduct.own.processes.running', 1])
  })
})
