// Storms for a service: `aqueduct-ts/chaos`.
export { runChaos } from './run-chaos.ts'
export type { ChaosOptions, ChaosProgress } from './chaos-options.ts'
export { brokenInvariants, type ChaosReport, type Phases } from './report.ts'
export type { ChaosService, Harm } from './service.ts'
export type { Random } from './random.ts'
