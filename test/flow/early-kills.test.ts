import { once } from 'node:events'
import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { BindingHandler } from '../fixtures/binding.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { rejection, started } from '../support/flow.ts'

// A thread that is ended while it loads or binds native code aborts the process, and with it these tests.

const TIMES = 50

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
