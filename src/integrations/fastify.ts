import { STATUS_CODES } from 'node:http'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { AqueductError, type FlowState, InvalidOptionError } from '../index.ts'
import {
  type AnyFlow,
  type PluginOptions,
  type ResolvedOptions,
  resolveOptions,
} from './fastify/options.ts'
import { endProgram, joinProgram } from './fastify/program.ts'
import { addServerTiming } from './fastify/server-timing.ts'
import { Connections } from './http/connections.ts'
import { toHttpError } from './http/errors.ts'
import { hangUpOf } from './http/hang-up.ts'

export type { AnyFlow }

/**
 * The flows of your application by name. Tell the compiler of yours, and `app.flows` has their types:
 *
 * ```ts no-run
 * declare module 'aqueduct-ts/fastify' {
 *   interface Flows {
 *     faces: Flow<FaceTask>
 *   }
 * }
 * ```
 */
export interface Flows {}

/** Options of the plugin. */
export interface AqueductOptions extends PluginOptions {
  /** The application's flows by name. */
  readonly flows?: Readonly<Record<string, AnyFlow>> & Partial<Flows>
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The flows that the plugin was given, by name. */
    readonly flows: Flows
  }
  interface FastifyReply {
    /** Aborted when the client goes away before it has its whole answer. Made when it is first asked for. */
    readonly hangUp: AbortSignal
  }
}

/** Milliseconds that the flows have at least to stop, however long the requests before them took. */
const LEAST_STOP_TIMEOUT = 1_000

/** The flows of an application, from its start to its end. */
class Service {
  readonly #app: FastifyInstance
  readonly #options: ResolvedOptions
  readonly #connections: Connections
  readonly #failed = new Set<string>()
  /** Takes back what lives outside of the application. */
  readonly #leave: (() => void)[] = []
  #isClosing = false
  #closesBy = 0

  constructor(app: FastifyInstance, options: ResolvedOptions) {
    this.#app = app
    this.#options = options
    this.#connections = new Connections(app.server)
    const member = {
      close: () => app.close(),
      closeTimeout: options.closeTimeout,
      onError: (error: unknown) =>
        this.#tell(error, `the application could not be closed cleanly: ${messageOf(error)}`),
    }
    this.#leave.push(joinProgram(member, options.closeOnSignals))
    if (options.serverTiming) this.#leave.push(addServerTiming(app, options.flows))
    for (const [name, flow] of Object.entries(options.flows)) {
      const onState = (state: FlowState): void => {
        if (state === 'running') this.#failed.delete(name)
        if (state === 'failed') this.#fail(name, undefined)
      }
      flow.on('state', onState)
      this.#leave.push(() => flow.off('state', onState))
    }
  }

  get isAlive(): boolean {
    return this.#failed.size === 0
  }

  get isReady(): boolean {
    return (
      !this.#isClosing && Object.values(this.#options.flows).every((flow) => flow.health().isReady)
    )
  }

  /** Nobody waits for this: a start may take longer than Fastify gives its hooks. */
  start(): void {
    const { flows, startTimeout } = this.#options
    for (const [name, flow] of Object.entries(flows)) {
      // The application may have started it itself, to listen only when it runs.
      if (flow.state === 'starting' || flow.state === 'running') continue
      flow.start({ timeout: startTimeout }).then(
        () => this.#app.log.info({ flow: name }, `${titleOf(name)} is running`),
        (error: unknown) => this.#fail(name, error),
      )
    }
  }

  /** While requests are still answered. */
  async drain(): Promise<void> {
    const { closeTimeout } = this.#options
    this.#isClosing = true
    this.#closesBy = performance.now() + closeTimeout
    // Fastify gives each hook its `pluginTimeout`; one that takes longer is an error of the application.
    const { pluginTimeout } = this.#app.initialConfig
    await this.#connections.drain(closeTimeout, pluginTimeout ? pluginTimeout * 0.9 : closeTimeout)
  }

  /** When all requests have been answered. */
  async stop(): Promise<void> {
    this.#connections.drained()
    const timeout = Math.max(LEAST_STOP_TIMEOUT, this.#closesBy - performance.now())
    try {
      await Promise.all(Object.values(this.#options.flows).map((flow) => flow.stop({ timeout })))
    } finally {
      for (const leave of this.#leave) leave()
    }
  }

  #fail(name: string, error: unknown): void {
    if (this.#isClosing) return // a start that was abandoned
    this.#failed.add(name)
    const { exitOnFail } = this.#options
    const what = error === undefined ? 'has failed' : `could not start: ${messageOf(error)}`
    this.#tell(error, `${titleOf(name)} ${what}${exitOnFail ? '; the program ends' : ''}`)
    if (exitOnFail) void endProgram(1)
  }

  #tell(error: unknown, message: string): void {
    const { log } = this.#app
    log.fatal({ err: error }, message)
    // An application without a logger would end without a word.
    if (log.level === undefined) process.stderr.write(`[aqueduct] ${message}\n`)
  }
}

/** An only flow has but the name that it is given by default. */
const titleOf = (name: string): string => (name === 'flow' ? 'the flow' : `the flow ${name}`)

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

/** Answers the errors of flows; all others are left to the application's own handler, or Fastify's. */
function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): unknown {
  if (!AqueductError.is(error)) return reply.send(error)
  const { status, code, message, headers } = toHttpError(error)
  request.raw.resume() // the rest of a body that nobody wants any more would block the connection
  // The sender is told no details, the log is.
  if (status === 500) request.log.error({ err: error }, error.message)
  else request.log.info({ code, statusCode: status }, error.message)
  return reply
    .code(status)
    .headers(headers)
    .send({ statusCode: status, code, error: STATUS_CODES[status] ?? 'Client Error', message })
}

/** A route for whoever looks after the service. */
function addHealthRoute(
  app: FastifyInstance,
  path: string | false,
  flows: Readonly<Record<string, AnyFlow>>,
  isWell: () => boolean,
): void {
  if (path === false) return
  // Asked every few seconds: not worth a line in the log each time.
  app.get(path, { logLevel: 'warn' }, (_request, reply) => {
    const states = Object.entries(flows).map(([name, { state }]) => [name, state])
    const answer = { flows: Object.fromEntries(states) }
    reply.header('cache-control', 'no-store')
    if (isWell()) return reply.send({ status: 'ok', ...answer })
    // Of those that run and are not ready all the same.
    const reasons = Object.entries(flows)
      .filter(([, { isRunning }]) => isRunning)
      .map(([name, flow]) => [name, flow.health().reason])
      .filter(([, reason]) => reason !== undefined)
    if (reasons.length > 0) Object.assign(answer, { reasons: Object.fromEntries(reasons) })
    return reply.code(503).send({ status: 'unavailable', ...answer })
  })
}

const plugin: FastifyPluginAsync<AqueductOptions> = async (app, options) => {
  const resolved = resolveOptions(options)
  if (app.hasDecorator('flows')) {
    throw new InvalidOptionError(
      'flows',
      'the Fastify plugin is registered already; one takes all flows: { flows: { name: flow, … } }',
    )
  }
  const service = new Service(app, resolved)
  app.decorate('flows', resolved.flows as unknown as Flows) // what the application says they are
  app.decorateReply('hangUp', {
    getter(this: FastifyReply) {
      return hangUpOf(this.raw)
    },
  })
  app.addHook('onReady', () => service.start())
  app.addHook('preClose', () => service.drain())
  app.addHook('onClose', () => service.stop())
  addHealthRoute(app, resolved.liveness, resolved.flows, () => service.isAlive)
  addHealthRoute(app, resolved.readiness, resolved.flows, () => service.isReady)
  if (resolved.errorHandler) app.setErrorHandler(answerError)
}

/**
 * The Fastify plugin: gives an application one flow or several, and has them live and die with it.
 *
 * - **Start.** The flows start when the application is ready; it listens at once and answers 503 until they run. To listen
 *   only when they run, `await flow.start()` before `app.listen()`.
 * - **Close.** `app.close()` answers the requests under way, ends kept-alive connections, then stops the flows.
 * - **Failure.** A flow that cannot start or fails ends the program with exit code 1 (`exitOnFail`).
 * - **Hang-ups.** `reply.hangUp` as the `signal` of `process()` cancels the task of a client that goes away.
 * - **Errors.** Those of flows become 503 with `retry-after`, 504, 500, … for the routes that are declared after the
 *   plugin (`errorHandler`).
 * - **Health.** `/health/live` and `/health/ready` (`liveness`, `readiness`).
 * - **Timing.** The header `Server-Timing` says where the time of an answer's tasks went, if asked for (`serverTiming`).
 *
 * The flows are at `app.flows`, by name.
 *
 * @throws InvalidOptionError
 *
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { Flow } from 'aqueduct-ts'
 * import aqueduct from 'aqueduct-ts/fastify'
 * import { SumHandler, SumTask } from './sum.ts'
 *
 * const flow = new Flow([SumHandler])
 * const app = Fastify()
 * await app.register(aqueduct, { flow, closeOnSignals: true })
 *
 * app.post<{ Body: { number: number } }>('/sum', async (request, reply) => {
 *   const task = new SumTask(request.body.number)
 *   const { sum } = await flow.process(task, { signal: reply.hangUp })
 *   return { sum }
 * })
 *
 * await app.listen({ port: 0 })
 * await app.close()
 * ```
 */
const aqueduct: FastifyPluginAsync<AqueductOptions> = Object.assign(plugin, {
  // What Fastify documents for plugins that decorate the application itself and not a scope of their own.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'aqueduct-ts',
  [Symbol.for('plugin-meta')]: { name: 'aqueduct-ts', fastify: '5.x' },
})

export default aqueduct
