import { Mapping } from '../memory/mapping.ts'
import { libc } from '../memory/libc.ts'
import { StepMeter } from '../metrics/meters.ts'
import { FieldDecoder, FieldEncoder } from '../transport/codec.ts'
import { Control } from '../transport/control.ts'
import type { ParentMessage, StartFailure, WorkerInit } from '../transport/protocol.ts'
import { encodeReport } from '../transport/reports.ts'
import { InvalidHandlerError, InvalidTaskError } from '../errors.ts'
import { Company } from './company.ts'
import { watchedHandler } from './handle-trace.ts'
import { markFlowWorker } from './flow-worker.ts'
import { type LoadedHandler, loadHandler, taskMaker } from './handler-loader.ts'
import { InputCheck } from './input-check.ts'
import { type Send, WorkerLog } from './log.ts'
import { StepLoop } from './loop.ts'
import { MemoryLimit, ownMemory } from './memory-limit.ts'
import { Pace } from './pace.ts'
import { Pulse } from './pulse.ts'
import { Sleeper } from './sleeper.ts'

/** The control channel to the parent, whatever carries it. */
export interface ParentPort {
  readonly send: Send
  onMessage(listener: (message: ParentMessage) => void): void
  /** Ends the worker. */
  exit(code: number): void
}

const PR_SET_PDEATHSIG = 1
const SIGKILL = 9

/** Waits for the parent's word, becomes a worker, and works until it is told to stop. */
export function runWorker(port: ParentPort): void {
  let stop: (() => void) | undefined
  let stopRequested = false
  reportFatal(port)
  port.onMessage((message) => {
    if (message.type === 'end') {
      port.exit(1)
      return
    }
    if (message.type === 'stop') {
      stopRequested = true
      stop?.()
      return
    }
    void main(port, message.init, (stopLoops) => {
      stop = stopLoops
      if (stopRequested) stop()
    })
  })
}

async function main(
  port: ParentPort,
  init: WorkerInit,
  onRunning: (stop: () => void) => void,
): Promise<void> {
  if (init.parentPid !== undefined) dieWithParent(init.parentPid)
  let flowStarted = false
  const stopping = new AbortController()
  markFlowWorker(() => {
    flowStarted = true
  })
  const fail = (failure: StartFailure, error: unknown): void => {
    port.send({
      type: 'failed',
      failure: flowStarted ? 'flow-in-worker' : failure,
      report: encodeReport({ err: error }),
    })
  }
  const log = new WorkerLog(
    { step: init.stepName, handler: init.handler.className, worker: init.index },
    port.send,
  )
  process.on('exit', () => log.tellSuppressed())
  const control = connect(init)
  let handler: LoadedHandler
  try {
    handler = await loadHandler(init.handler)
  } catch (error) {
    fail(error instanceof InvalidHandlerError ? 'handler' : 'start', error)
    return
  }
  if (flowStarted) {
    fail('flow-in-worker', new Error('a flow was started while the handler module was imported'))
    return
  }
  const { instance } = handler
  try {
    await instance.onStart?.({
      index: init.index,
      step: init.stepName,
      logger: log.logger,
      signal: stopping.signal,
    })
  } catch (error) {
    fail('start', error)
    return
  }
  const isThread = init.parentPid === undefined
  const { maxMemory } = init
  const bytes = maxMemory === Infinity ? 0 : ownMemory(isThread)
  if (bytes > maxMemory) {
    const what = `its worker has ${bytes} bytes of its own before its first task, more than the step's maxMemory of ${maxMemory}`
    fail('start', new Error(what))
    return
  }
  const memoryLimit =
    maxMemory === Infinity
      ? undefined
      : new MemoryLimit(
          maxMemory,
          () => ownMemory(isThread),
          (grown) => port.send({ type: 'outgrown', bytes: grown }),
        )
  // A thread closes its bell when it ends; the flow's own end must outlive it.
  const { ownBell } = init.memory
  const sleeper = new Sleeper(control, isThread ? libc().dup(ownBell) : ownBell)
  const loops = startLoops(init, control, handler, log, sleeper, memoryLimit)
  onRunning(() => {
    stopping.abort()
    for (const loop of loops) loop.stop()
    sleeper.wakeAll()
  })
  port.send({ type: 'ready' })
  await Promise.all(loops.map((loop) => loop.run()))
  await instance.onStop?.()
  sleeper.close()
  port.exit(0)
}

function startLoops(
  init: WorkerInit,
  control: Control,
  handler: LoadedHandler,
  log: WorkerLog,
  sleeper: Sleeper,
  memoryLimit: MemoryLimit | undefined,
): StepLoop[] {
  const makers = init.taskClasses.map(({ index }) => {
    const TaskClass = handler.taskClasses[index]
    return TaskClass === undefined ? undefined : taskMaker(TaskClass)
  })
  const watched = watchedHandler(handler.instance, {
    step: init.stepName,
    handler: init.handler.className,
    worker: init.index,
  })
  const { words, shape, actor } = control
  const meter = new StepMeter(words, control.metricsStart(actor), shape, init.batchSize)
  const pace = new Pace(control, init.batchSize, init.concurrency)
  const company = init.concurrency > 1 ? new Company() : undefined
  const pulse = new Pulse(control, init.handleTimeout !== Infinity)
  const inputCheck =
    init.checkInputs && !handler.writesInput
      ? new InputCheck(control.leases, init.stepName, init.handler.className)
      : undefined
  return Array.from({ length: init.concurrency }, () => {
    return new StepLoop(
      control,
      {
        step: init.step,
        worker: init.worker,
        handler: watched,
        inputCheck,
        splits: init.onBatchError === 'split' && !handler.writesInput,
        rebuild: (taskClass, claim, batch) => {
          const make = makers[taskClass]
          if (make === undefined) {
            const { name } = init.taskClasses[taskClass] ?? { name: 'an unknown class' }
            throw new InvalidTaskError(
              `step ${init.stepName} got a task of ${name}, which ${init.handler.className} does not name in its \`task\`; name it there, or have the step's \`handleCondition\` be false for it`,
            )
          }
          return make(claim, batch)
        },
        log,
        conditions: init.conditions,
        batchSize: init.batchSize,
        batchTimeout: init.batchTimeout,
        spin: init.spin,
        pulse: pulse.ofLoop(),
        memoryLimit,
      },
      new FieldEncoder({ payloadThreshold: init.payloadThreshold }),
      new FieldDecoder(),
      sleeper,
      meter,
      pace,
      company,
    )
  })
}

/** Has the parent know of what: an error that nobody catches ends the worker, as it would end any program. */
function reportFatal(port: ParentPort): void {
  process.on('uncaughtExceptionMonitor', (error) => {
    const isCaught =
      process.listenerCount('uncaughtException') > 0 ||
      process.hasUncaughtExceptionCaptureCallback()
    if (!isCaught) port.send({ type: 'fatal', report: encodeReport({ err: error }) })
  })
}

function connect({ memory, shape, actor }: WorkerInit): Control {
  const control = openMapping(memory.controlFd, memory.controlBytes, memory.controlAddress)
  const payloads = openMapping(memory.payloadFd, memory.payloadBytes, memory.payloadAddress)
  return Control.attach(shape, { control, payloads, bells: memory.bells }, actor)
}

function openMapping(fd: number, byteLength: number, address: number | undefined): Mapping {
  if (address === undefined) return Mapping.open(fd, byteLength)
  return Mapping.adopt(fd, byteLength, address)
}

/** Ends this process with its parent, also when it is deaf in a native call or an endless loop. */
function dieWithParent(parentPid: number): void {
  libc().prctl(PR_SET_PDEATHSIG, SIGKILL)
  // The parent may have died before the call; then the signal never comes.
  if (libc().getppid() !== parentPid) process.exit(1)
}
