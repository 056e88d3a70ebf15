export { Flow } from './flow.ts'
export type {
  FlowEvents,
  FlowLogger,
  FlowOptions,
  FlowState,
  ProcessOptions,
  StartOptions,
  StopOptions,
} from './flow-options.ts'
export { FlowStep, type ConditionName, type FlowStepOptions, type ResolvedStep } from './step.ts'
export {
  BaseTask,
  type BinaryField,
  type StepTimings,
  type TaskClassOf,
  type TaskTimings,
} from './task.ts'
export {
  BaseTaskHandler,
  type HandlerClass,
  type HandlerConstructor,
  type StartContext,
} from './handler.ts'
export type { Durations, FlowStats, StepStats, WorkerStats } from './stats.ts'
export type { EdgeEnd, EdgeMetrics, FlowMetrics, StepMetrics, TaskCounts } from './flow-metrics.ts'
export type { Histogram } from './metrics/histogram.ts'
export { differenceOf, quantileOf, samplesOf } from './metrics/values.ts'
export { isFlowWorker } from './worker/flow-worker.ts'
export {
  AqueductError,
  type AqueductErrorCode,
  CodecError,
  FlowStoppedError,
  HandlerError,
  InvalidHandlerError,
  InvalidOptionError,
  InvalidTaskError,
  NotRunningError,
  OutOfMemoryError,
  PayloadTooLargeError,
  QueueFullError,
  StartError,
  TaskCancelledError,
  TaskTimeoutError,
  WorkerDiedError,
} from './errors.ts'
