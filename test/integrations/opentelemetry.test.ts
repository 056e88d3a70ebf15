import { once } from 'node:events'
import { type IncomingMessage, createServer, request } from 'node:http'
import { type AddressInfo } from 'node:net'
import { type Context, context, propagation, trace } from '@opentelemetry/api'
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Flow, FlowClient, FlowStep } from '../../src/index.ts'
import { observeFlow, traceFlows } from '../../src/integrations/opentelemetry.ts'
import { Detect, Draw, TracedTask } from '../fixtures/traced.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { newAddress } from '../support/clients.ts'
import { describeIsolations, rejection, started } from '../support/flow.ts'
import { Gate } from '../support/flow-gate.ts'
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.ts'

const tracing = new URL('../fixtures/tracing.ts', import.meta.url)

let receiver: OtlpReceiver
let endTracing: () => void
beforeAll(async () => {
  receiver = await OtlpReceiver.listen()
  process.env['OTLP_URL'] = `${receiver.url}/v1/traces`
  const { end } = (await import(tracing.href)) as { readonly end: () => void }
  endTracing = end
})
afterEach(() => receiver.clear())
afterAll(async () => {
  endTracing()
  await receiver[Symbol.asyncDispose]()
})

/** Calls in the context of a span of the program's own. */
async function within<Result>(name: string, call: () => Promise<Result>): Promise<Result> {
  return trace.getTracer('test').startActiveSpan(name, async (span) => {
    try {
      return await call()
    } finally {
      span.end()
    }
  })
}

const isWithin = (inner: ReceivedSpan, outer: ReceivedSpan): boolean =>
  inner.start >= outer.start && inner.end <= outer.end

describeIsolations('OpenTelemetry', (isolation) => {
  // What workers load first. They would anyway, had the program been started with it.
  const execArgv = ['--import', tracing.href]
  const faces = (options = {}): Flow<TracedTask> =>
    new Flow([
      new FlowStep(Detect, { isolation, execArgv, ...options }),
      new FlowStep(Draw, { isolation, execArgv }),
    ])

  test('a task is a span below the one of its caller, and each step a span below it', async () => {
    await using flow = await started(faces())
    const { timings } = await within('request', () => flow.process(new TracedTask()))
    const caller = await receiver.only('request')
    const task = await receiver.only('process TracedTask')
    const steps = [await receiver.only('step Detect'), await receiver.only('step Draw')]
    expect(task).toMatchObject({
      traceId: caller.traceId,
      parentSpanId: caller.spanId,
      attributes: { 'aqueduct.task': 'TracedTask', 'aqueduct.outcome': 'completed' },
      status: 0,
    })
    for (const [index, step] of steps.entries()) {
      expect(step).toMatchObject({ traceId: task.traceId, parentSpanId: task.spanId })
      expect(isWithin(step, task)).toBe(true)
      const { startMs, queueMs, batchMs, handleMs } = timings!.steps[index]!
      expect(step.attributes).toMatchObject({
        'aqueduct.step': timings!.steps[index]!.step,
        'aqueduct.batch.size': 1,
        'aqueduct.handle.duration': handleMs / 1e3,
      })
      expect(step.start - task.start).toBeCloseTo(startMs, 2)
      expect(step.end - step.start).toBeCloseTo(queueMs + batchMs + handleMs, 2)
      expect(step.events.map(({ name }) => name)).toEqual(['claimed', 'handling'])
      expect(step.events[1]!.at - step.start).toBeCloseTo(queueMs + batchMs, 2)
    }
    expect(steps[1]!.start).toBeGreaterThanOrEqual(steps[0]!.end - 0.01)
  })

  test('a batch is a span linked to all of its tasks and they to it, whoever their callers are', async () => {
    await using flow = await started(faces({ batchSize: 4, batchTimeout: 10_000 }))
    const caller = (index: number) =>
      within(`request ${index}`, () => flow.process(new TracedTask()))
    await Promise.all([0, 1, 2, 3].map(caller))
    const batch = await receiver.only('handle Detect')
    const tasks = await receiver.named('process TracedTask', 4)
    expect(new Set(tasks.map(({ traceId }) => traceId)).size).toBe(4)
    const ids = tasks.map(({ traceId, spanId }) => ({ traceId, spanId }))
    expect(batch.links).toHaveLength(4)
    expect(batch.links).toEqual(expect.arrayContaining(ids))
    // It lies in the trace of one of them.
    expect(ids).toContainEqual({ traceId: batch.traceId, spanId: batch.parentSpanId })
    expect(batch.attributes).toEqual({
      'aqueduct.step': 'Detect',
      'aqueduct.handler': 'Detect',
      'aqueduct.worker': 0,
      'aqueduct.batch.size': 4,
    })
    const steps = await receiver.named('step Detect', 4)
    expect(new Set(steps.map(({ parentSpanId }) => parentSpanId)).size).toBe(4)
    for (const { links } of steps)
      expect(links).toEqual([{ traceId: batch.traceId, spanId: batch.spanId }])
    const draws = await receiver.named('handle Draw', 4)
    expect(draws.flatMap(({ links }) => links)).toHaveLength(4)
  })

  test('what a handler does lies below its batch, or below the task that it says', async () => {
    await using flow = await started(faces())
    const { traceparent } = await flow.process(new TracedTask())
    const task = await receiver.only('process TracedTask')
    const batch = await receiver.only('handle Detect')
    const ofBatch = await receiver.only('look at batch')
    const ofTask = await receiver.only('look at task')
    expect(ofBatch).toMatchObject({ traceId: task.traceId, parentSpanId: batch.spanId })
    expect(ofTask).toMatchObject({ traceId: task.traceId, parentSpanId: task.spanId })
    expect(traceparent).toBe(`00-${task.traceId}-${task.spanId}-01`)
  })

  test('a trace goes on from the headers of a request to the workers', async () => {
    await using flow = await started(faces())
    const server = createServer((incoming, response) => {
      // What the instrumentation of an HTTP server does.
      const caller = propagation.extract(context.active(), incoming.headers)
      void context.with(caller, async () => {
        await flow.process(new TracedTask())
        response.end()
      })
    }).listen(0)
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const traceId = '0af7651916cd43dd8448eb211c80319c'
    const traceparent = `00-${traceId}-b7ad6b7169203331-01`
    const sent = request({ port, headers: { traceparent } }).end()
    const [answer] = (await once(sent, 'response')) as [IncomingMessage]
    answer.resume()
    await once(answer, 'end')
    const task = await receiver.only('process TracedTask')
    expect(task).toMatchObject({ traceId, parentSpanId: 'b7ad6b7169203331' })
    expect(await receiver.only('look at batch')).toMatchObject({ traceId })
    server.close()
  })

  test('a failure is told by the span of the task and by that of the batch', async () => {
    await using flow = await started(faces())
    await rejection(flow.process(new TracedTask({ throws: true })))
    const task = await receiver.only('process TracedTask')
    expect(task).toMatchObject({
      status: 2,
      attributes: {
        'aqueduct.outcome': 'failed',
        'aqueduct.step': 'Detect',
        'error.type': 'AQ_HANDLER_FAILED',
      },
      events: [{ name: 'exception', attributes: { 'exception.type': 'AQ_HANDLER_FAILED' } }],
    })
    const batch = await receiver.only('handle Detect')
    expect(batch).toMatchObject({
      status: 2,
      events: [
        {
          name: 'exception',
          attributes: { 'exception.type': 'RangeError', 'exception.message': 'no face' },
        },
      ],
    })
  })

  test('a task that fails at the second step has a span for each', async () => {
    await using flow = await started(
      new Flow([
        new FlowStep(Draw, { isolation, execArgv }),
        new FlowStep(Detect, { isolation, execArgv }),
      ]),
    )
    const failing = new TracedTask({ throws: true })
    await rejection(flow.process(failing))
    const task = await receiver.only('process TracedTask')
    const [draw, detect] = [await receiver.only('step Draw'), await receiver.only('step Detect')]
    for (const step of [draw, detect]) {
      expect(step).toMatchObject({ traceId: task.traceId, parentSpanId: task.spanId })
      expect(isWithin(step, task)).toBe(true)
    }
    expect([draw.status, detect.status]).toEqual([0, 2])
    expect(failing.timings!.steps.map(({ step }) => step)).toEqual(['Draw', 'Detect'])
  })

  test('a call that is refused has no steps of one before', async () => {
    const flow = await started(faces())
    const task = await flow.process(new TracedTask())
    for (const name of ['process TracedTask', 'step Detect', 'step Draw']) await receiver.only(name)
    receiver.clear()
    await flow.stop()
    expect(await rejection(flow.process(task))).toMatchObject({ code: 'AQ_NOT_RUNNING' })
    expect(await receiver.only('process TracedTask')).toMatchObject({ status: 2 })
    await within('later', () => Promise.resolve())
    await receiver.only('later')
    expect(receiver.spans.filter(({ name }) => name.startsWith('step'))).toEqual([])
  })

  test('so are deadlines and refusals; a cancellation is no error', async () => {
    await using gate = await Gate.close()
    await using flow = await started(
      new Flow([new FlowStep(WorkHandler, { isolation })], { maxPending: 2 }),
    )
    const held = flow.process(new WorkTask(1, { gate: gate.name }))
    await gate.visited()
    const abort = new AbortController()
    const cancelled = rejection(flow.process(new WorkTask(2), { signal: abort.signal }))
    await rejection(flow.process(new WorkTask(3)))
    abort.abort()
    await cancelled
    await rejection(flow.process(new WorkTask(4), { timeout: 1 }))
    gate.open()
    await held
    const spans = await receiver.named('process WorkTask', 4)
    const statuses = spans.map(({ attributes, status }) => [attributes['aqueduct.outcome'], status])
    expect(new Map(statuses as [string, number][])).toEqual(
      new Map([
        ['rejected', 2],
        ['cancelled', 0],
        ['timed_out', 2],
        ['completed', 0],
      ]),
    )
  })

  test('a task that is in flight already keeps the trace that it has', async () => {
    await using gate = await Gate.close()
    await using flow = await started(new Flow([new FlowStep(WorkHandler, { isolation })]))
    const task = new WorkTask(1, { gate: gate.name })
    const held = flow.process(task)
    const { traceContext } = task
    expect(await rejection(flow.process(task))).toMatchObject({ code: 'AQ_TASK_IN_FLIGHT' })
    expect(task.traceContext).toBe(traceContext)
    gate.open()
    await held
    expect(Object.keys(task)).not.toContain('traceContext')
  })

  test('the tasks of a client in another process are traced as well', async () => {
    const address = newAddress()
    await using flow = new Flow([new FlowStep(Detect, { isolation, execArgv })], { address })
    await flow.start()
    await using client = new FlowClient({ address, task: TracedTask })
    await client.start()
    await within('request', () => client.process(new TracedTask()))
    const task = await receiver.only('process TracedTask')
    expect(await receiver.only('request')).toMatchObject({ spanId: task.parentSpanId })
    expect((await receiver.only('handle Detect')).links).toHaveLength(1)
  })

  test('what is not recorded makes no span in the workers, and they hear of that', async () => {
    await using flow = await started(faces())
    const unsampled = { traceId: '1'.repeat(32), spanId: '2'.repeat(16), traceFlags: 0 }
    const caller: Context = trace.setSpanContext(context.active(), unsampled)
    const { traceparent } = await context.with(caller, () => flow.process(new TracedTask()))
    expect(traceparent).toMatch(/^00-1{32}-[0-9a-f]{16}-00$/)
    await flow.process(new TracedTask()) // one that is
    await receiver.only('process TracedTask')
    await receiver.only('handle Detect')
    expect(receiver.spans.filter(({ traceId }) => traceId === unsampled.traceId)).toEqual([])
  })
})

test('without traceFlows() no task carries anything, and nothing is listened to', async () => {
  endTracing()
  await using flow = await started(new Flow([new FlowStep(Detect, { isolation: 'thread' })]))
  const task = await flow.process(new TracedTask())
  expect(task.traceparent).toBeUndefined()
  expect(Object.keys(task)).not.toContain('traceContext')
  endTracing = traceFlows()
})

test('traceFlows() and observeFlow() refuse options that there are not', () => {
  const invalid = expect.objectContaining({ code: 'AQ_INVALID_OPTION' }) as Error
  expect(() => traceFlows({ trace: true } as object)).toThrow(invalid)
  expect(() => observeFlow(new Flow([WorkHandler]), { name: '' })).toThrow(invalid)
})

test('observeFlow() has a meter show what the flow has measured', async () => {
  const exporter = new OTLPMetricExporter({ url: `${receiver.url}/v1/metrics` })
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
  const provider = new MeterProvider({ readers: [reader] })
  const flow = new Flow([new FlowStep(Detect, { isolation: 'thread', batchSize: 2 }), Draw])
  const leave = observeFlow(flow, { name: 'faces', meter: provider.getMeter('test') })
  await flow.start()
  await Promise.all([1, 2, 3].map(() => flow.process(new TracedTask())))
  await provider.forceFlush()
  const { tasks, totalMs, steps } = flow.metrics()
  const point = (name: string, attributes: Record<string, string> = {}) => {
    const own = { 'aqueduct.flow': 'faces', ...attributes }
    return receiver.points.find(
      (it) => it.name === name && JSON.stringify(it.attributes) === JSON.stringify(own),
    )
  }
  expect(point('aqueduct.tasks', { 'aqueduct.outcome': 'completed' })).toMatchObject({
    value: tasks.completed,
    unit: '1',
    isSum: true,
  })
  expect(point('aqueduct.task.duration.count')).toMatchObject({ value: 3, isSum: true })
  const duration = point('aqueduct.task.duration.sum')
  expect(duration).toMatchObject({ unit: 's', isSum: true })
  expect(duration!.value).toBeCloseTo(totalMs.sum / 1e3, 9)
  const batches = point('aqueduct.batch.tasks.count', { 'aqueduct.step': 'Detect' })
  expect(batches?.value).toBe(steps[0]!.batchTasks.count)
  const running = { 'aqueduct.step': 'Draw', 'aqueduct.state': 'running' }
  expect(point('aqueduct.workers', running)).toMatchObject({ value: 1, isSum: false })
  expect(point('aqueduct.memory.max')).toMatchObject({ unit: 'By' })
  leave()
  expect(flow.listenerCount('state')).toBe(0)
  await provider.shutdown()
  await flow.stop()
})
