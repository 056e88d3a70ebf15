export { Flow } from './flow.ts'
export { FlowClient, type FlowClientOptions } from './flow-client.ts'
export type {
  FlowEvents,
  FlowLogger,
  FlowOptions,
  FlowState,
  ProcessOptions,
  ReloadOptions,
  StartOptions,
  StopOptions,
} from './flow-options.ts'
export { FlowStep, type ConditionName, type FlowStepOptions, type ResolvedStep } from './step.ts'
export {
  BaseTask,
  type BinaryField,
  type BodySource,
  type StepTimings,
  type TaskClassOf,
  type TaskTimings,
} from './task.ts'
export {
  BaseTaskHandler,
  type HandleContext,
  type HandlerClass,
  type HandlerConstructor,
  type StartContext,
} from './handler.ts'
export type { BinaryClass, ShareFromOptions } from './share-from.ts'
export type { Durations, FlowStats, StepStats, WorkerStats } from './stats.ts'
export type { FlowHealth, StepHealth } from './flow-health.ts'
export type { EdgeEnd, EdgeMetrics, FlowMetrics, StepMetrics } from './flow-metrics.ts'
export type { ClientView, FlowView, FlowWatcher, StepView, Watchable } from './watch/view.ts'
export type { FlowEvent, FlowProblem } from './watch/journal.ts'
export type { MemoryOwner, MemoryUse, TasksAt } from './watch/occupancy.ts'
export type { FlowSample, LatencySplit, StepSample } from './watch/sample.ts'
export type { SlowTask } from './watch/slow-tasks.ts'
export { FlowObserver, type FlowObserverOptions } from './watch/flow-observer.ts'
export { findFlows, type FoundFlow } from './watch/find-flows.ts'
export type { TaskCounts } from './task-counts.ts'
export type { Histogram } from './metrics/histogram.ts'
export { differenceOf, quantileOf, samplesOf } from './metrics/values.ts'
export type {
  ClientMessage,
  DiagnosticsMessages,
  FlowMessage,
  FlowStateMessage,
  MemoryPressureMessage,
  ProcessTrace,
  RefusalMessage,
  ReloadTrace,
  WorkerEventMessage,
  WorkerExitMessage,
} from './diagnostics.ts'
export type { HandleTrace } from './worker/handle-trace.ts'
export { isFlowWorker } from './worker/flow-worker.ts'
export type { LogMethod, WorkerLogger } from './worker/log.ts'
export {
  AqueductError,
  type AqueductErrorCode,
  BodyError,
  CodecError,
  FlowStoppedError,
  HandlerError,
  HandlerTimeoutError,
  type HandlerErrorOrigin,
  InputWrittenError,
  InvalidHandlerError,
  InvalidOptionError,
  InvalidTaskError,
  NotRunningError,
  OutOfMemoryError,
  PayloadTooLargeError,
  PoisonedTaskError,
  type QueueFullDetails,
  QueueFullError,
  StartError,
  TaskCancelledError,
  TaskTimeoutError,
  WorkerDiedError,
  type WrittenInput,
} from './errors.ts'
