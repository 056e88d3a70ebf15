import type { BaseTask, Flow } from '../index.ts'
import { CommandError } from './command.ts'
import { importModule } from './module.ts'

/** What a flow module exports. */
export interface FlowModule {
  readonly flow: Flow<BaseTask>
  /** Makes a task of the JSON that was sent. */
  toTask(body: unknown): BaseTask | Promise<BaseTask>
  /** What is answered for a finished task. */
  toAnswer(task: BaseTask): unknown
}

const isFlow = (value: unknown): value is Flow<BaseTask> =>
  ['process', 'start', 'stop', 'watch'].every(
    (name) => typeof (value as Record<string, unknown> | null)?.[name] === 'function',
  )

/** Loads a module that exports a flow. @throws UsageError, CommandError */
export async function loadFlowModule(file: string): Promise<FlowModule> {
  const exports = await importModule(file)
  const candidates = [exports['default'], exports['flow'], ...Object.values(exports)]
  const flow = candidates.find(isFlow)
  if (flow === undefined) {
    const names = Object.keys(exports).join(', ') || 'nothing'
    throw new CommandError(
      `${file} exports no flow, but ${names}; export one: export default new Flow([…])`,
    )
  }
  if (flow.state !== 'created')
    throw new CommandError(
      `the flow of ${file} is ${flow.state} already: leave its start to this command`,
    )
  const { toTask, toAnswer } = exports
  return {
    flow,
    toTask:
      typeof toTask === 'function' ? (body) => toTask(body) as BaseTask : taskMaker(flow, file),
    toAnswer: typeof toAnswer === 'function' ? (task) => toAnswer(task) as unknown : (task) => task,
  }
}

/** Makes a task of the flow's only class, and fills in the fields that were sent. */
function taskMaker({ taskClasses }: Flow<BaseTask>, file: string): FlowModule['toTask'] {
  const [only, ...others] = taskClasses as readonly (new () => BaseTask)[]
  if (only === undefined || others.length > 0) {
    const names = taskClasses.map(({ name }) => name).join(', ')
    throw new CommandError(
      `the flow of ${file} handles ${names}: export a function toTask(body) that makes a task of the JSON that was sent`,
    )
  }
  return (body) => {
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw new TypeError('the body must be a JSON object: the fields of the task')
    return Object.assign(new only(), body)
  }
}

/** A task as JSON: binary data as base64, other typed arrays as numbers, large integers as text. */
export const toJson = (answer: unknown): string =>
  JSON.stringify(answer, (_, value: unknown) => {
    if (typeof value === 'bigint') return String(value)
    if (value instanceof ArrayBuffer) return Buffer.from(value).toString('base64')
    if (value instanceof Uint8Array)
      return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
    if (ArrayBuffer.isView(value) && !(value instanceof DataView))
      return Array.from(value as unknown as Iterable<number>)
    return value
  })
