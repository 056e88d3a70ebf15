import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { afterEach, expect, test, vi } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { BindingHandler } from '../fixtures/binding.ts'
import { HangingHandler } from '../fixtures/hanging.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { rejection, started } from '../support/flow.ts'

// A thread that is terminated while it loads or binds native code aborts the process, and with it these tests.

const TIMES = 50

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

test('threads that are stopped at any moment of their start end alone', async () => {
  for (let time = 0; time < TIMES; time++) {
    const flow = new Flow([new FlowStep(WorkHandler, { isolation: 'thread', nprocs: 2 })])
    await flow.start({ timeout: 90 + 3 * time }).catch(() => undefined)
    await flow.stop({ graceful: false })
    expect(flow.state).toBe('stopped')
  }
  await using flow = await started(new Flow([new FlowStep(WorkHandler, { isolation: 'thread' })]))
  expect((await flow.process(new WorkTask(1))).call).toBe(1)
})

test("a thread that is stopped while its handler's module binds native code ends alone", async () => {
  const binding = new BroadcastChannel('binding')
  const flow = new Flow([new FlowStep(BindingHandler, { isolation: 'thread' })])
  const start = rejection(flow.start())
  await once(binding, 'message')
  binding.close()
  await flow.stop({ graceful: false })
  expect(await start).toMatchObject({ name: 'StartError' })
  expect(flow.state).toBe('stopped')
})

test('a thread that never lets its event loop turn is terminated after four seconds', async () => {
  const hanging = new BroadcastChannel('hanging')
  const flow = new Flow([new FlowStep(HangingHandler, { isolation: 'thread' })])
  const start = rejection(flow.start())
  await once(hanging, 'message')
  hanging.close()
  const terminate = vi.spyOn(Worker.prototype, 'terminate')
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const stopped = flow.stop({ graceful: false })
  await vi.advanceTimersByTimeAsync(3_999)
  expect(terminate).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(1)
  expect(terminate).toHaveBeenCalledOnce()
  await stopped
  expect(await start).toMatchObject({ name: 'StartError' })
  expect(flow.stats().workers).toMatchObject([{ state: 'dead' }])
})

test('a thread that runs is asked to end, not terminated', async () => {
  const terminate = vi.spyOn(Worker.prototype, 'terminate')
  const flow = await started(new Flow([new FlowStep(WorkHandler, { isolation: 'thread' })]))
  await flow.process(new WorkTask(1))
  await flow.stop({ graceful: false })
  expect(flow.stats().workers).toMatchObject([{ state: 'dead' }])
  expect(terminate).not.toHaveBeenCalled()
})
