import type { NetworkPlan } from '../models/network.ts'

/** How a server has its network asked; `bench/peers/python/service.py` understands the same. */
export interface ServicePlan {
  readonly way: 'plain' | 'piscina' | 'aqueduct'
  readonly network: NetworkPlan
  readonly workers: number
  /** This library and the original alone. */
  readonly batchSize: number
  /** This library alone; the default where it is missing. */
  readonly spin?: number
}

export interface ServiceReady {
  readonly port: number
  /** Processes beside the server's own. */
  readonly workers: readonly number[]
}
