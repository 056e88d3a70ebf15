import type { Arrived } from './constant-arrivals.ts'
import { missingPython } from './peers.ts'
import { processorTime } from './proc.ts'
import { Program } from './program.ts'
import type { Clients, LoadOrder, LoadPlan } from '../programs/http-load-orders.ts'
import type { ServicePlan, ServiceReady } from '../programs/service-plan.ts'
import type { Sampled } from '../models/samples.ts'

/** Requests a second of a route that has nothing to do with the network. */
const LIGHT_PER_SECOND = 50

/** A way of serving a network, in one of its settings. */
export interface ServiceSetup {
  readonly family: string
  readonly plan: Omit<ServicePlan, 'network'> & { readonly threads: number }
  readonly language: 'node' | 'python'
}

/** One measurement at a constant rate, and what the light route got meanwhile. */
export interface Trial {
  readonly perSecond: number
  readonly heavy: Arrived
  readonly light: Arrived
}

/** A server that runs, with the programs that send to it. */
export class ServiceSide implements AsyncDisposable {
  readonly setup: ServiceSetup
  readonly #server: Program<ServiceReady>
  readonly #load: Program
  readonly #light: Program

  private constructor(
    setup: ServiceSetup,
    server: Program<ServiceReady>,
    load: Program,
    light: Program,
  ) {
    this.setup = setup
    this.#server = server
    this.#load = load
    this.#light = light
  }

  static async start(
    setup: ServiceSetup,
    { model, file, requests }: Sampled,
  ): Promise<ServiceSide> {
    const { threads, ...rest } = setup.plan
    const plan: ServicePlan = { ...rest, network: { model, file, threads } }
    const server = await Program[setup.language]<ServiceReady>('service', plan)
    const { port } = server.ready
    const heavy: LoadPlan = { target: { port, method: 'POST', path: '/predict' }, requests }
    const light: LoadPlan = {
      target: { port, method: 'GET', path: '/light' },
      requests: [{ expected: { light: true } }],
    }
    const loads = [heavy, light].map((load) => Program.node<object>('http-load', load))
    const [toHeavy, toLight] = await Promise.all(loads)
    return new ServiceSide(setup, server, toHeavy!, toLight!)
  }

  /** Requests at a constant rate, and the light route beside them. */
  async trial(perSecond: number, seconds: number): Promise<Trial> {
    const [heavy, light] = await Promise.all([
      this.#load.ask<Arrived>({ do: 'openLoop', perSecond, seconds } satisfies LoadOrder),
      this.#light.ask<Arrived>({
        do: 'openLoop',
        perSecond: LIGHT_PER_SECOND,
        seconds,
      } satisfies LoadOrder),
    ])
    return { perSecond, heavy, light }
  }

  /** So many clients, each with one request at a time, and the processor time that the server takes for a request. */
  async clients(
    clients: number,
    seconds: number,
  ): Promise<Clients & { readonly cpuUsPerRequest: number }> {
    const before = this.#cpuMs()
    const found = await this.#load.ask<Clients>({
      do: 'closedLoop',
      clients,
      seconds,
    } satisfies LoadOrder)
    return { ...found, cpuUsPerRequest: ((this.#cpuMs() - before) * 1000) / found.sent }
  }

  #cpuMs(): number {
    const { pid, ready } = this.#server
    return [pid, ...ready.workers].reduce((sum, each) => sum + processorTime(each).schedulerMs, 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#load, this.#light].map((program) => program.close()))
    await this.#server.close()
  }
}

const node = (
  family: string,
  way: ServicePlan['way'],
  workers: number,
  threads: number,
  batchSize = 1,
): ServiceSetup => ({ family, language: 'node', plan: { way, workers, threads, batchSize } })

/** All ways in all the settings that are worth trying on this machine: the best of each competes. */
export function serviceSetups(cores: number): {
  setups: ServiceSetup[]
  missing: { name: string; reason: string }[]
} {
  const setups = [
    node('aqueduct-ts', 'aqueduct', 1, 1, 32),
    node('aqueduct-ts', 'aqueduct', cores, 1, 32),
    node('aqueduct-ts', 'aqueduct', cores, 1),
    node('plain Fastify', 'plain', 1, 1),
    node('plain Fastify', 'plain', 1, cores),
    node('Fastify with piscina', 'piscina', 1, 1),
    node('Fastify with piscina', 'piscina', cores, 1),
    node('Fastify with piscina', 'piscina', 1, cores),
  ]
  const family = "Avito's Aqueduct, aiohttp"
  const reason = missingPython()
  if (reason !== undefined) return { setups, missing: [{ name: family, reason }] }
  for (const [workers, batchSize] of [
    [1, 32],
    [cores, 32],
    [cores, 1],
  ] as const) {
    setups.push({
      family,
      language: 'python',
      plan: { way: 'aqueduct', workers, threads: 1, batchSize },
    })
  }
  return { setups, missing: [] }
}
