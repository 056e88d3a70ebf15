import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Registry } from 'prom-client'
import { NOT_ALLOWED, isLocal } from '../dashboard/access.ts'
import { Dashboard } from '../dashboard/dashboard.ts'
import { AqueductError, type BaseTask } from '../index.ts'
import { toHttpError } from '../integrations/http/errors.ts'
import { hangUpOf } from '../integrations/http/hang-up.ts'
import { type Command, CommandError, UsageError, numberOf, readArguments } from './command.ts'
import { type FlowModule, loadFlowModule, toJson } from './flow-module.ts'
import { listen, pathOf, untilSignal } from './http.ts'
import { registryOf } from './metrics.ts'

const MOST_BODY = 16 << 20 // bytes
const NO_METRICS =
  'Metrics need the package prom-client beside aqueduct-ts: npm install prom-client'

export const run: Command = {
  help: `Usage: aqueduct run <flow.ts> [options]

Starts the flow that a module exports (\`export default new Flow([…])\`), and answers

  POST /process        the fields of a task as JSON; answers the finished task. The module may export
                       toTask(body) and toAnswer(task) where fields as they are will not do
  GET  /health/live    200 until the flow has failed
  GET  /health/ready   200 while it can do work, by flow.health(); else 503 with the reason
  GET  /metrics        for Prometheus; 501 without the package prom-client (npm install prom-client)
  GET  /stats          flow.stats() as JSON
  GET  /dashboard      the live page, for this machine alone

  --port <port>        where to listen; 0 takes a free one (default 8080)
  --host <host>        (default 127.0.0.1)
  --timeout <ms>       until a task must be done (default 5000)

SIGINT and SIGTERM let it finish what is in flight.
`,
  async run(args) {
    const given = readArguments(
      args,
      { port: { type: 'string' }, host: { type: 'string' }, timeout: { type: 'string' } },
      { most: 1 },
    )
    const [file] = given.positionals
    if (file === undefined) throw new UsageError('which flow? aqueduct run <flow.ts>')
    const port = numberOf(given, 'port', 8080, { least: 0, most: 65_535 })
    const timeout = numberOf(given, 'timeout', 5_000, { least: 1, most: 2 ** 31 - 1 })
    const module = await loadFlowModule(file)
    const { flow } = module
    const service = new Service(module, timeout, await registryOf(flow))
    const { server, url } = await listen(
      (request, response) => void service.answer(request, response),
      given.text('host') ?? '127.0.0.1',
      port,
    )
    const stopped = untilSignal()
    const failed = new Promise<void>((resolve) => {
      flow.on('state', (state) => {
        if (state === 'failed') resolve()
      })
    })
    let code = 0
    try {
      await Promise.race([flow.start(), stopped])
      if (flow.isRunning) {
        process.stdout.write(
          `Running: POST ${url}/process\nDashboard: ${url}/dashboard/\nCtrl-C stops it.\n`,
        )
        await Promise.race([stopped, failed])
        if (flow.state === 'failed') {
          process.stderr.write('aqueduct: the flow has failed\n')
          code = 1
        }
      }
    } catch (error) {
      if (!AqueductError.is(error)) throw error
      throw new CommandError(`the flow cannot start: ${error.message}`)
    } finally {
      server.close()
      service.close()
      await flow.stop()
      server.closeAllConnections()
    }
    return code
  },
}

class Service {
  readonly #module: FlowModule
  readonly #timeout: number
  readonly #registry: Registry | undefined
  readonly #dashboard: Dashboard

  constructor(module: FlowModule, timeout: number, registry: Registry | undefined) {
    this.#module = module
    this.#timeout = timeout
    this.#registry = registry
    this.#dashboard = new Dashboard(module.flow)
    // The five minutes before somebody looks begin now.
    module.flow.watch({ onHistory: () => {}, onSample: () => {} })()
  }

  close(): void {
    this.#dashboard.close()
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { flow } = this.#module
    const pathname = pathOf(request)
    if (request.method === 'POST' && pathname === '/process') await this.#process(request, response)
    else if (request.method !== 'GET' && request.method !== 'HEAD')
      reply(response, 405, { message: 'POST /process is what there is to ask for.' })
    else if (pathname === '/health/live')
      reply(response, flow.state === 'failed' ? 503 : 200, { state: flow.state })
    else if (pathname === '/health/ready') {
      const { isReady, state, reason } = flow.health()
      reply(response, isReady ? 200 : 503, { state, reason })
    } else if (pathname === '/metrics') await this.#expose(response)
    else if (pathname === '/stats') reply(response, 200, flow.stats())
    else if (pathname === '/dashboard') response.writeHead(302, { location: './dashboard/' }).end()
    else if (pathname.startsWith('/dashboard/')) this.#show(pathname.slice(11), request, response)
    else reply(response, 404, { message: `There is no ${pathname}.` })
  }

  async #expose(response: ServerResponse): Promise<void> {
    if (this.#registry === undefined) {
      reply(response, 501, { message: NO_METRICS })
      return
    }
    try {
      const text = await this.#registry.metrics()
      response.writeHead(200, { 'content-type': this.#registry.contentType }).end(text)
    } catch (error) {
      // A metric of the module's own.
      process.stderr.write(`aqueduct: the metrics cannot be read: ${String(error)}\n`)
      reply(response, 500, { message: 'Internal Server Error' })
    }
  }

  #show(name: string, request: IncomingMessage, response: ServerResponse): void {
    if (!isLocal(request)) reply(response, 403, { message: NOT_ALLOWED })
    else if (!this.#dashboard.respond(name, request, response))
      reply(response, 404, { message: 'There is no such file.' })
  }

  async #process(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let task: BaseTask | undefined
    try {
      task = await this.#module.toTask(JSON.parse(await bodyOf(request)))
    } catch (error) {
      request.resume()
      const isTooLong = error instanceof RangeError
      reply(response, isTooLong ? 413 : 400, { message: (error as Error).message })
      return
    }
    try {
      await this.#module.flow.process(task, { timeout: this.#timeout, signal: hangUpOf(response) })
      reply(response, 200, await this.#module.toAnswer(task))
    } catch (error) {
      if (AqueductError.is(error)) {
        const { status, code, message, headers } = toHttpError(error)
        reply(response, status, { code, message }, headers)
      } else {
        process.stderr.write(`aqueduct: toAnswer() has thrown: ${String(error)}\n`)
        reply(response, 500, { message: 'Internal Server Error' })
      }
    } finally {
      task.release()
    }
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MOST_BODY) throw new RangeError(`the body is larger than ${MOST_BODY} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function reply(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent) return
  response.writeHead(status, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    ...headers,
  })
  response.end(`${toJson(body)}\n`)
}
