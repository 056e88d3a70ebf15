import { availableParallelism } from 'node:os'

/** Values that apply where an option is not given. One line each, with its unit. */
export const flowDefaults: {
  readonly maxPending: number
  readonly refuseLate: boolean
  readonly maxClients: number
  readonly priorities: number
  readonly priorityAgeing: number
  readonly payloadThreshold: number
  readonly inlineBytes: number
  readonly memoryShare: number
  readonly spin: number
  readonly metrics: boolean
  readonly checkInputs: boolean
  readonly processTimeout: number
  readonly shareTimeout: number
  readonly startTimeout: number
  readonly stopTimeout: number
  readonly drainTimeout: number
} = Object.freeze({
  maxPending: 16_384, // tasks
  refuseLate: true, // refuse at once what is expected to miss its deadline
  maxClients: 8, // processes that may be attached, for a flow with an address
  priorities: 1, // classes
  priorityAgeing: 1_000, // ms of head start per class
  payloadThreshold: 32_768, // bytes: smaller binary fields travel beside the others
  inlineBytes: 2_048, // bytes of encoded fields that fit beside a task's header
  memoryShare: 0.25, // of the memory that the process may use
  spin: availableParallelism() > 1 ? 0.5 : 0, // ms to look for work before going to sleep
  metrics: true, // measure what workers and callers do
  checkInputs: false, // compare payloads before and after each handler
  processTimeout: 5_000, // ms
  shareTimeout: 30_000, // ms for a body to arrive
  startTimeout: 300_000, // ms
  stopTimeout: 10_000, // ms
  drainTimeout: 60_000, // ms for former workers to finish at a reload
})

export const stepDefaults: {
  readonly nprocs: number
  readonly batchSize: number
  readonly batchTimeout: number
  readonly onBatchError: 'split' | 'fail'
  readonly concurrency: number
  readonly retries: number
  readonly handleTimeout: number
  readonly patience: number
  readonly maxMemory: number
  readonly minQueueSize: number
  readonly queueBatches: number
  readonly isolation: 'process' | 'thread'
} = Object.freeze({
  nprocs: 1, // workers
  batchSize: 1, // tasks
  batchTimeout: 0, // ms to wait for a full batch; 0 takes what is there
  onBatchError: 'split', // a batch that throws is halved until the culprit stands alone
  concurrency: 1, // batches at once, for async handlers
  handleTimeout: Infinity, // ms
  maxMemory: Infinity, // bytes of a worker's own
  patience: 30_000, // ms that a batch may take before its worker counts as stuck, without a handleTimeout
  retries: 1, // further runs of a task whose worker died
  minQueueSize: 20, // tasks that may wait in front of the step, at least …
  queueBatches: 3, // … and this many batches
  isolation: process.platform === 'linux' ? 'process' : 'thread',
})
