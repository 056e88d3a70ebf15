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
  type BodySource,
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
export type { BinaryClass, ShareFromOptions } from './share-from.ts'
export type { FlowStats, StepStats } from './stats.ts'
export { isFlowWorker } from './worker/flow-worker.ts'
export {
  AqueductError,
  type AqueductErrorCode,
  BodyError,
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
