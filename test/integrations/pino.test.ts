import { Writable } from 'node:stream'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { LogHandler, LogTask } from '../fixtures/logging.ts'
import { describeIsolations, pidsOf, rejection, started } from '../support/flow.ts'

const levels: Readonly<Record<number, string>> = pino.levels.labels

describeIsolations('a pino logger', (isolation) => {
  test("gets the workers' records and the flow's own, at its level", async () => {
    const lines: string[] = []
    const destination = new Writable({
      write(line: Buffer, _, done) {
        lines.push(line.toString())
        done()
      },
    })
    const logger = pino({ base: null, level: 'debug' }, destination)
    const step = new FlowStep(LogHandler, { isolation, name: 'logs', retries: 0 })
    const flow = await started(new Flow([step], { logger }))
    const [pid] = pidsOf(flow)
    await flow.process(new LogTask('log at every level'))
    await rejection(flow.process(new LogTask('throw')))
    await rejection(flow.process(new LogTask('log and exit')))
    await flow.process(new LogTask('log at every level'))
    await flow.stop()

    const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    const origin = { step: 'logs', handler: 'LogHandler', worker: 0, pid }
    const spoken = records.map(({ level, msg }) => `${levels[Number(level)]}: ${String(msg)}`)
    const found = spoken.filter((line) => !line.endsWith('last words'))
    expect(found.slice(0, 8)).toEqual([
      'info: started',
      'debug: debugged',
      'info: informed',
      'warn: warned',
      'error: complained',
      'info: a message alone',
      'error: step logs failed a task: ModelError: the model is broken',
      `warn: worker ${pid} of step logs ended with exit code 3; it is being replaced`,
    ])
    expect(records.find(({ msg }) => msg === 'warned')).toMatchObject({ n: 3, ...origin })
    expect(records.find(({ err, level }) => err !== undefined && level === 50)).toMatchObject({
      ...origin,
      tasks: 1,
      err: {
        type: 'RangeError',
        message: 'the model is broken: not a number',
        stack: expect.stringMatching(
          /at loadModel .*fixtures\/logging\.ts[^]*caused by: TypeError/,
        ),
        code: 'E_MODEL',
        model: { file: 'cat.onnx', layers: 3 },
      },
    })
    expect(records.find(({ code }) => code === 3)).toMatchObject({
      ...origin,
      err: { type: 'WorkerDiedError', exitCode: 3 },
    })
  })
})
