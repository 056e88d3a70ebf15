import { type EventEmitter, once } from 'node:events'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Flow, FlowState } from '../../src/index.ts'
import aqueduct, { type AqueductOptions } from '../../src/integrations/fastify.ts'
import { WorkTask } from '../fixtures/work.ts'

/** What a route for tests is asked to do. */
export interface WorkRequest {
  readonly id?: number
  /** The handler waits at this gate. */
  readonly gate?: string
  /** The handler throws this. */
  readonly throws?: string
  /** Milliseconds. */
  readonly timeout?: number
}

const body = {
  type: 'object',
  properties: { id: { type: 'integer' }, timeout: { type: 'number' } },
} as const

/** A route that has a flow work. */
export function addWorkRoute(app: FastifyInstance, flow: Flow<WorkTask>, path = '/work'): void {
  app.post<{ Body: WorkRequest }>(path, { schema: { body } }, async (request, reply) => {
    const { id = 0, timeout = Infinity, ...options } = request.body
    const task = new WorkTask(id, options)
    const { call, batch } = await flow.process(task, { timeout, signal: reply.hangUp })
    return { call, batch }
  })
}

/** An application around one flow, not listening yet. */
export async function applicationOf(
  flow: Flow<WorkTask>,
  options: AqueductOptions = {},
  serverOptions: FastifyServerOptions = {},
): Promise<FastifyInstance> {
  const app = Fastify(serverOptions)
  await app.register(aqueduct, { flow, exitOnFail: false, ...options })
  addWorkRoute(app, flow)
  return app
}

export const listen = (app: FastifyInstance): Promise<string> =>
  app.listen({ host: '127.0.0.1', port: 0 })

/** Waits until a flow is in a state. */
export async function reaches(flow: EventEmitter & { state: FlowState }, state: FlowState) {
  while (flow.state !== state) await once(flow, 'state')
}

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: {
    readonly call?: number
    readonly batch?: number[]
    readonly statusCode?: number
    readonly code?: string
    readonly error?: string
    readonly message?: string
  }
}

export async function post(
  url: string,
  request: WorkRequest = {},
  init: RequestInit = {},
): Promise<Reply> {
  const { pathname } = new URL(url)
  const response = await fetch(pathname === '/' ? new URL('/work', url) : url, {
    method: 'POST',
    body: JSON.stringify(request),
    headers: { 'content-type': 'application/json' },
    ...init,
  })
  const { status, headers } = response
  return { status, headers, body: (await response.json()) as Reply['body'] }
}

export const statusOf = async (url: string, path: string): Promise<number> =>
  (await fetch(url + path)).status
