import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type IncomingMessage, get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FlowStats } from '../../src/index.ts'
import { eventually } from '../examples/example.ts'
import { newAddress } from '../support/clients.ts'
import { Gate } from '../support/flow-gate.ts'
import { Command, call, flowFile } from './command.ts'
import { Installation } from './installation.ts'

/** The status of an answer to a path that is sent as it is. */
async function statusOf(url: string, path: string): Promise<number> {
  const { hostname, port } = new URL(url)
  const [answer] = (await once(get({ hostname, port, path }), 'response')) as [IncomingMessage]
  answer.resume()
  return answer.statusCode!
}

describe('what is wrong on the command line is told in words, with exit code 2', () => {
  test.each([
    ['rnu', "there is no command 'rnu'; did you mean 'run'?"],
    ['elephant', "there is no command 'elephant'"],
    ['toString', "there is no command 'toString'"],
    ['top --onec', 'there is no option --onec; did you mean --once?'],
    ['top one two', "what is 'two' for?"],
    ['top --width wide', "--width is a whole number from 40 to 400, not 'wide'"],
    ['run', 'which flow? aqueduct run <flow.ts>'],
    ['run none.ts', 'there is no file none.ts'],
    ['run none.ts --port 70000', "--port is a whole number from 0 to 65535, not '70000'"],
    ['dashboard here --host 0.0.0.0', 'the dashboard has no authentication here'],
  ])('aqueduct %s', async (line, message) => {
    const { code, out, err } = await call(...line.split(' '))
    expect(err).toContain(`aqueduct: ${message}`)
    expect(err).not.toContain('    at ')
    expect([code, out]).toEqual([2, ''])
  })

  test('nothing at all', async () => {
    const { code, err } = await call()
    expect([code, err]).toEqual([2, expect.stringContaining('Usage: aqueduct <command>')])
  })
})

describe('what cannot be done is told in words, with exit code 1', () => {
  test.each([
    [['top', '999999999'], 'process 999999999 runs no flow with an address'],
    [
      ['top', 'no-such-flow'],
      "nothing is to be seen of the flow: no flow listens at 'no-such-flow'",
    ],
    [['run', 'test/fixtures/gate.ts'], 'exports no flow, but pass'],
    [['run', flowFile, '--host', '203.0.113.1'], 'cannot listen at 203.0.113.1'],
  ])('aqueduct %s', async (args, message) => {
    const { code, err } = await call(...args)
    expect(err).toContain(message)
    expect(code).toBe(1)
  })

  test('a module that throws, with the place where it does', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aqueduct-cli-'))
    const file = join(folder, 'flow.mjs')
    await writeFile(file, "throw new Error('no model here')")
    const { code, err } = await call('run', file)
    await rm(folder, { recursive: true })
    expect(err).toMatch(/flow.mjs cannot be loaded\nError: no model here\n +at .*flow.mjs:1/)
    expect(code).toBe(1)
  })

  test('the repository’s own commands, outside of it', async () => {
    const { code, err } = await new Command(['bench', 'dispatch'], { cwd: tmpdir() }).ended
    expect([code, err]).toEqual([1, expect.stringContaining('needs the repository of aqueduct-ts')])
  })
})

test('help and version', async () => {
  const help = await call('--help')
  expect([help.code, help.err]).toEqual([0, ''])
  for (const name of ['run', 'top', 'dashboard', 'chaos', 'bench']) {
    expect(help.out).toContain(`  ${name} `)
    const one = await call(name, '--help')
    expect([one.code, one.out]).toEqual([0, expect.stringContaining(`Usage: aqueduct ${name}`)])
    for (const line of one.out.split('\n')) expect(line.length).toBeLessThanOrEqual(120)
  }
  expect(await call('--version')).toMatchObject({ code: 0, out: '0.1.0\n' })
})

describe('a flow that is run', () => {
  const address = newAddress()
  let gate: Gate
  let service: Command
  let url: string

  beforeAll(async () => {
    gate = await Gate.close()
    gate.open()
    const env = { ADDRESS: address, GATE: gate.name }
    service = new Command(['run', flowFile, '--port', '0'], { env })
    ;[, url] = (await service.printed(/POST (http\S+)\/process/)) as unknown as [string, string]
  })
  afterAll(async () => {
    await service[Symbol.asyncDispose]()
    await gate[Symbol.asyncDispose]()
  })

  const post = async (body: string): Promise<[number, Record<string, unknown>]> => {
    const answer = await fetch(`${url}/process`, { method: 'POST', body })
    return [answer.status, (await answer.json()) as Record<string, unknown>]
  }

  test('answers tasks as JSON, and errors', async () => {
    expect(await post('{"number":21}')).toEqual([200, { number: 21, doubled: 42, bytes: 'AQID' }])
    expect((await post('[1]'))[0]).toBe(400)
    expect((await post('{'))[0]).toBe(400)
    expect((await fetch(`${url}/process`, { method: 'PUT' })).status).toBe(405)
    expect((await fetch(`${url}/nothing`)).status).toBe(404)
    expect(await statusOf(url, '//')).toBe(404)
  })

  test('has health, figures and a dashboard', async () => {
    for (const path of ['live', 'ready'])
      expect(await (await fetch(`${url}/health/${path}`)).json()).toEqual({ state: 'running' })
    const metrics = await fetch(`${url}/metrics`)
    expect(metrics.headers.get('content-type')).toContain('text/plain; version=0.0.4')
    expect(await metrics.text()).toContain(
      'aqueduct_tasks_total{flow="flow",outcome="completed"} 1',
    )
    expect(await (await fetch(`${url}/stats`)).json()).toMatchObject({ workers: [{}, {}] })
    expect(await (await fetch(`${url}/dashboard`)).text()).toContain('<title>aqueduct</title>')
    const proxied = await fetch(`${url}/dashboard/`, {
      headers: { 'x-forwarded-for': '203.0.113.9' },
    })
    expect(proxied.status).toBe(403)
  })

  test.each(['pid', 'address'])('is seen by top, by its %s', async (by) => {
    const { code, out, err } = await call('top', by === 'pid' ? String(service.child.pid) : address)
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain(`aqueduct ${address}  pid ${service.child.pid}`)
    expect(out).toContain('DoubleHandler 1  running')
    expect(out).toMatch(/Tasks +\d+ done, 0 pending/)
    expect(stripVTControlCharacters(out)).toBe(out) // into a pipe
  })

  test('is shown by a dashboard of its own process', async () => {
    await using dashboard = new Command(['dashboard', address, '--port', '0'])
    const [, page] = await dashboard.printed(/Dashboard: (\S+)/)
    const answer = await fetch(`${page}events`)
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
    let events = ''
    while (!events.includes('event: sample')) events += (await reader.read()).value ?? ''
    await reader.cancel()
    expect(events).toContain(`"pid":${service.child.pid}`)
    expect((await fetch(`${page}none`)).status).toBe(404)
    dashboard.child.kill('SIGTERM')
    expect((await dashboard.ended).code).toBe(0)
  })

  test.skipIf(!existsSync('/usr/bin/script'))(
    'fills a terminal, which is as it was when q is pressed',
    async () => {
      await using terminal = new Command(['top', address], { terminal: true })
      await terminal.printed(/DoubleHandler 0/)
      terminal.child.stdin!.write('q')
      const { code, out } = await terminal.ended
      expect(code).toBe(0)
      expect(out.startsWith('\u001b[?1049h\u001b[?25l')).toBe(true)
      expect(out.trimEnd().endsWith('\u001b[?25h\u001b[?1049l')).toBe(true)
    },
  )

  test('is not ready while it has no worker, and says why, as top does', async () => {
    gate.shut()
    const { workers } = (await (await fetch(`${url}/stats`)).json()) as FlowStats
    for (const { pid } of workers) process.kill(pid, 'SIGKILL')
    await gate.visited(4) // the next two begin
    const reason = 'no worker of it is ready'
    const ready = await fetch(`${url}/health/ready`)
    expect([ready.status, await ready.json()]).toEqual([
      503,
      { state: 'running', reason: `step DoubleHandler is not ready: ${reason}` },
    ])
    expect((await fetch(`${url}/health/live`)).status).toBe(200)
    const top = await call('top', address)
    expect([top.code, top.out]).toEqual([
      1,
      expect.stringContaining(`DoubleHandler is not ready: ${reason}.`),
    ])
    gate.open()
    await eventually(async () => (await statusOf(url, '/health/ready')) === 200 || undefined)
  })

  test('that fails tasks says so, and so does top', async () => {
    expect(await post('{"number":-1}')).toMatchObject([500, { code: 'INTERNAL' }])
    const { code, out } = await call('top', address, '--once')
    expect([code, out]).toEqual([1, expect.stringContaining('RangeError: no negative numbers')])
  })

  test('ends cleanly when it is asked to', async () => {
    service.child.kill('SIGTERM')
    const { code, err } = await service.ended
    expect([code, err.split('\n').filter((line) => !line.includes('no negative'))]).toEqual([
      0,
      expect.anything(),
    ])
  })
})

describe('installed as a package, without what is optional', () => {
  const files = {
    'flow.ts': `
import { BaseTask, BaseTaskHandler, Flow, FlowStep } from 'aqueduct-ts'
class SumTask extends BaseTask {
  number = 0
  sum?: number
}
export class SumHandler extends BaseTaskHandler<SumTask> {
  static readonly url = import.meta.url
  static readonly task = SumTask
  handle(tasks: readonly SumTask[]): void {
    for (const task of tasks) task.sum = task.number + 1
  }
}
export default new Flow([new FlowStep(SumHandler, { nprocs: 2 })])
export const makeTask = (random: () => number): SumTask =>
  Object.assign(new SumTask(), { number: Math.floor(random() * 1000) })
export const verify = ({ number, sum }: SumTask): boolean => sum === number + 1
`,
  }
  let project: Installation
  beforeAll(async () => {
    project = await Installation.make(files)
  })
  afterAll(() => project[Symbol.asyncDispose]())
  const command = (...args: readonly string[]): Command =>
    new Command(args, { cwd: project.folder, file: project.bin })

  test('a flow is served, and its metrics name the package that they need', async () => {
    await using service = command('run', 'flow.ts', '--port', '0')
    const [, url] = await service.printed(/POST (http\S+)\/process/)
    const answer = await fetch(`${url}/process`, { method: 'POST', body: '{"number":1}' })
    expect(await answer.json()).toEqual({ number: 1, sum: 2 })
    const metrics = await fetch(`${url}/metrics`)
    expect([metrics.status, await metrics.json()]).toEqual([
      501,
      {
        message: 'Metrics need the package prom-client beside aqueduct-ts: npm install prom-client',
      },
    ])
  })

  test('the same module goes through a storm', async () => {
    const storm = ['--seconds', '2', '--kills', '2', '--in-flight', '8', '--no-speed', '--json']
    await using chaos = command('chaos', '--flow', 'flow.ts', ...storm)
    const { code, out } = await chaos.ended
    const report = JSON.parse(out) as object
    expect(report).toMatchObject({ kills: 2, lost: 0, wrongResults: 0, brokenInvariants: [] })
    expect(code).toBe(0)
  })
})
