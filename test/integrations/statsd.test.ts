import { expect, test } from 'vitest'
import { Flow, type FlowOptions, FlowStep } from '../../src/index.ts'
import { Collector, ToStatsDMetricsExporter } from '../../src/integrations/statsd.ts'
import { First, IMAGE_BYTES, MeasuredTask, Second } from '../fixtures/measured.ts'
import { always, onDeath, queueSize, taskTimers } from '../fixtures/original-metrics.ts'
import { Journal, describeIsolations, rejection, started, until } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { ManualTimers, type Received, StatsDServer } from '../support/statsd.ts'

const EXPORT = 500
const QUEUES = 750
const PROCESSES = 1_000

const sorted = (names: Iterable<string>): string[] => [...names].toSorted()
const sum = (values: readonly number[] = []): number => values.reduce((all, one) => all + one, 0)

describeIsolations('StatsD', (isolation) => {
  const pipeline = (options: FlowOptions = {}): Flow<MeasuredTask> =>
    new Flow(
      [
        new FlowStep(First, { isolation, nprocs: 2, batchSize: 4 }),
        new FlowStep(Second, { isolation, handleCondition: 'wantsSecond' }),
      ],
      { queuePriorities: 2, ...options },
    )

  interface Run {
    readonly received: Received
    /** Milliseconds that three tasks waited for a worker, at least. */
    readonly heldMs: number
    readonly elapsedMs: number
  }

  /** What the original's names were recorded with: 26 tasks complete, one times out, one is cancelled. */
  async function run(
    flow: Flow<MeasuredTask>,
    options: { readonly collector?: Collector; readonly prefix?: string } = {},
  ): Promise<Run> {
    await using server = await StatsDServer.listen()
    await using gate = await Gate.close()
    const timers = new ManualTimers()
    const exporter = new ToStatsDMetricsExporter(server.client, {
      exportPeriod: EXPORT,
      collector: new Collector({ qsizeCollectPeriod: QUEUES }),
      ...options,
      timers,
    })
    exporter.attach(flow)
    const begin = performance.now()
    await flow.start()
    const process = (count: number, priority: number, skips = false): Promise<unknown>[] =>
      Array.from({ length: count }, () => flow.process(new MeasuredTask({ skips }), { priority }))
    await Promise.all([
      ...process(8, 0),
      ...process(8, 1),
      ...process(2, 0, true),
      ...process(2, 1, true),
    ])
    timers.end(EXPORT)
    // Both workers of the first step are held, one by a task whose caller goes; five tasks wait for them.
    const abort = new AbortController()
    const held = (signal?: AbortSignal): Promise<unknown> =>
      flow.process(new MeasuredTask({ gate: gate.name }), signal === undefined ? {} : { signal })
    const cancelled = rejection(held(abort.signal))
    await gate.visited(1)
    const finished = held()
    await gate.visited(2)
    await rejection(flow.process(new MeasuredTask(), { timeout: 20 }))
    const waiting = [...process(3, 0), ...process(2, 1)]
    const since = performance.now()
    abort.abort()
    await cancelled
    timers.end(QUEUES)
    timers.end(PROCESSES)
    await until(() => performance.now() > since + 20, 'some time has passed')
    const heldMs = performance.now() - since
    gate.open()
    await Promise.all([finished, ...waiting])
    await flow.stop()
    const elapsedMs = performance.now() - begin
    return { received: await server.received(), heldMs, elapsedMs }
  }

  test('every metric of the original is sent, under its name and in its unit, and nothing else', async () => {
    const { received, heldMs, elapsedMs } = await run(pipeline())
    expect(sorted(received.keys())).toEqual(sorted([...always, ...taskTimers, ...queueSize]))
    const timings = (name: string): readonly number[] =>
      received.get(`timing aqueduct.${name}`) ?? []

    // Counts.
    expect(sum(received.get('count aqueduct.tasks.complete'))).toBe(26)
    expect(received.get('count aqueduct.tasks.timeout')).toEqual([1])
    expect(received.get('count aqueduct.tasks.cancel')).toEqual([1])
    expect(sum(received.get('count aqueduct.processes.running'))).toBe(6) // 3 workers, seen twice

    // One value for each task on each of its ways, or for each batch.
    expect(timings('handle_time.total')).toHaveLength(26)
    expect(timings('handle_time.step1_First')).toHaveLength(27)
    expect(timings('transfer_time.from_main_process_to_step1_First')).toHaveLength(15)
    expect(timings('transfer_time.p_1_from_main_process_to_step1_First')).toHaveLength(12)
    expect(timings('transfer_time.from_step1_First_to_main_process')).toHaveLength(2)
    expect(timings('transfer_time.from_step2_Second_to_main_process')).toHaveLength(12)
    expect(sum(timings('batch_size.step1_First'))).toBe(27)
    expect(timings('batch_time.step1_First')).toHaveLength(timings('batch_size.step1_First').length)

    // Milliseconds: three tasks of priority 0 waited for the gate, and one was in the handler then.
    expect(sum(timings('transfer_time.from_main_process_to_step1_First'))).toBeGreaterThan(
      3 * heldMs,
    )
    expect(sum(timings('handle_time.step1_First'))).toBeGreaterThan(heldMs)
    for (const [name, values] of received) {
      if (!/_time[.]/.test(name)) continue
      for (const value of values) {
        expect(value).toBeGreaterThanOrEqual(0)
        expect(value).toBeLessThan(elapsedMs)
      }
    }

    // Bytes and tasks.
    for (const [name, values] of received) {
      if (!name.includes('.task_size.')) continue
      for (const value of values) {
        expect(value).toBeGreaterThan(IMAGE_BYTES)
        expect(value).toBeLessThan(IMAGE_BYTES + 1_000)
      }
    }
    for (const size of timings('batch_size.step1_First')) expect([1, 2, 3, 4]).toContain(size)
    expect(timings('qsize.from_main_process_to_step1_First')).toEqual([0, 3])
    expect(timings('qsize.p_1_from_main_process_to_step1_First')).toEqual([0, 2])
    expect(timings('qsize.from_step1_First_to_step2_Second')).toEqual([0, 0])
  })

  test('memory is sent in bytes for each worker, its step and all of them, each process once', async () => {
    const { received } = await run(pipeline())
    const [first, second, both] = ['step0_First', 'step1_Second', 'step0_First_nprocs_sum'].map(
      (name) => received.get(`timing aqueduct.memory_usage.${name}`)!,
    ) as [number[], number[], number[]]
    const all = received.get('timing aqueduct.memory_usage.all_memory_usage')!
    expect([first.length, second.length, both.length, all.length]).toEqual([4, 2, 2, 2])
    const isProcess = isolation === 'process'
    for (const look of [0, 1]) {
      const [one, other] = [first[2 * look]!, first[2 * look + 1]!]
      for (const bytes of [one, other, second[look]!]) {
        expect(bytes).toBeGreaterThan(4 * 2 ** 20)
        expect(bytes).toBeLessThan(4 * 2 ** 30)
      }
      expect(both[look]).toBe(isProcess ? one + other : one)
      const workers = isProcess ? one + other + second[look]! : one
      expect(all[look]).toBeGreaterThanOrEqual(workers)
      expect(all[look]).toBeLessThan(workers + 100 * 2 ** 20) // and the arena
    }
  })

  test.each([
    ['task timers', new Collector({ collectibleMetrics: ['taskTimers'] }), taskTimers],
    [
      'queue sizes',
      new Collector({ collectibleMetrics: ['queueSize'], qsizeCollectPeriod: QUEUES }),
      queueSize,
    ],
    ['nothing', new Collector({ collectibleMetrics: [] }), []],
  ])('a collector of %s leaves the others out', async (_, collector, chosen) => {
    const { received } = await run(pipeline(), { collector })
    expect(sorted(received.keys())).toEqual(sorted([...always, ...chosen]))
  })

  test('a flow without metrics sends what the original sends then', async () => {
    const { received } = await run(pipeline({ metrics: false }))
    expect(sorted(received.keys())).toEqual(sorted(always))
    expect(sum(received.get('count aqueduct.tasks.complete'))).toBe(26)
  })

  test('a prefix stands between the name of the library and that of the metric', async () => {
    const { received } = await run(pipeline(), { prefix: 'digits' })
    const names = [...always, ...taskTimers, ...queueSize].map((name) =>
      name.replace(' aqueduct.', ' aqueduct.digits.'),
    )
    expect(sorted(received.keys())).toEqual(sorted(names))
  })

  test('a worker that dies is counted, and what it had measured before is not lost', async () => {
    await using server = await StatsDServer.listen()
    const journal = new Journal()
    const flow = new Flow([new FlowStep(First, { isolation, retries: 0 })], { logger: journal })
    const timers = new ManualTimers()
    new ToStatsDMetricsExporter(server.client, { timers }).attach(flow)
    await started(flow)
    for (let task = 0; task < 3; task++) await flow.process(new MeasuredTask())
    await rejection(flow.process(new MeasuredTask({ kills: true })))
    await journal.reached('info', 1)
    for (let task = 0; task < 2; task++) await flow.process(new MeasuredTask())
    await flow.stop()
    const received = await server.received()
    expect(received.get(onDeath[0]!)).toEqual([1])
    expect(received.get('timing aqueduct.handle_time.step1_First')).toHaveLength(5)
    expect(received.get('count aqueduct.tasks.complete')).toEqual([5])
  })
})
