import { Client } from './client/client.ts'
import { flowDefaults, stepDefaults } from './defaults.ts'
import type { Diagnostics } from './diagnostics.ts'
import { FlowStoppedError, StartError } from './errors.ts'
import { FlowLog } from './flow-log.ts'
import { NUMBERS_PER_WORKER, type ResolvedFlow } from './flow-options.ts'
import { Attachments } from './runtime/attachments.ts'
import { Broadcast } from './watch/broadcast.ts'
import { FlowMemory } from './runtime/memory-files.ts'
import { OutputLabeller } from './runtime/output.ts'
import type { StepPlan } from './runtime/seat.ts'
import { Supervisor } from './runtime/supervisor.ts'
import { type FlowStep, taskClassesOf } from './step.ts'
import { BaseTask } from './task.ts'
import { nearest } from './task-classes.ts'
import { monotonic } from './transport/clock.ts'
import type { Control, FlowShape } from './transport/control.ts'
import type { WatchedRun } from './watch/flow-source.ts'
import type { Journal } from './watch/journal.ts'
import type { SlowTasks } from './watch/slow-tasks.ts'
import type { ClientView, Watchable } from './watch/view.ts'

/** The client that lives in the process that started the flow. */
const OWN_CLIENT = 0

/** What a flow is, whether it runs or not. */
export interface FlowPlan {
  readonly steps: readonly Pick<FlowStep<never>, 'handler' | 'options'>[]
  /** Of the steps, each once. */
  readonly names: readonly string[]
  /** Arguments of the steps' handlers. */
  readonly args: readonly (readonly unknown[])[]
  readonly options: ResolvedFlow
  readonly taskClasses: ReadonlyMap<unknown, number>
  readonly diagnostics: Diagnostics
  readonly journal: Journal
  readonly slowTasks: SlowTasks
  /** What observers in other processes watch. */
  readonly watched: Watchable
}

export interface RunEvents {
  /** The run cannot go on, for now or for good; its pending tasks are about to fail. */
  onFailed(): void
  /** It can, after all. */
  onRecovered(): void
}

/** One run of a flow, from its start to its stop: its memory, its workers, its clients. */
export class FlowRun implements WatchedRun {
  readonly control: Control
  readonly client: Client
  readonly supervisor: Supervisor
  /** Milliseconds since 1970. */
  readonly startedAt: number = Date.now()
  readonly #plan: FlowPlan
  readonly #memory: FlowMemory
  readonly #attachments: Attachments | undefined
  readonly #log: FlowLog
  readonly #output = new OutputLabeller()
  #onBusy = (): void => undefined

  constructor(plan: FlowPlan, events: RunEvents) {
    const { options, names, slowTasks } = plan
    slowTasks.restart()
    const { maxPending, payloadThreshold, spin } = options
    const conditions = plan.steps.map(({ options: { handleCondition } }) => handleCondition)
    const shape = shapeOf(plan)
    const memory = new FlowMemory(shape)
    const bell = memory.openBell(OWN_CLIENT)
    const control = memory.createControl(OWN_CLIENT)
    this.#plan = plan
    this.#memory = memory
    this.control = control
    this.#log = new FlowLog(options.logger, plan.journal)
    this.supervisor = this.#makeSupervisor({ memory, shape, conditions, payloadThreshold }, events)
    this.client = new Client(control, {
      maxPending,
      payloadThreshold,
      spin,
      bell,
      conditions,
      stepNames: names,
      onBell: () => this.supervisor.onBell(),
      deathCause: (number) => this.supervisor.deathCause(number),
      diagnostics: plan.diagnostics,
      onSettled: (task, finished, timings) =>
        BaseTask.end(task as BaseTask, finished, timings, names),
      slowTasks,
    })
    this.#attachments = this.#makeAttachments(conditions)
  }

  /** Resolves once every worker is ready; after a failure none is left. */
  async start(timeout: number): Promise<void> {
    await this.#attachments?.listen()
    await this.supervisor.start(timeout)
  }

  /** Lets clients in that have waited for the start, and all that come. */
  open(): void {
    this.#attachments?.open()
  }

  seats(): ReturnType<Supervisor['seats']> {
    return this.supervisor.seats()
  }

  /** The clients of other processes. */
  clients(): ClientView[] {
    return this.#attachments?.clients() ?? []
  }

  /** Calls back, once or more, when a client has something pending. */
  whenBusy(callback: () => void): void {
    this.#onBusy = callback
    this.client.whenBusy(callback)
    this.#attachments?.askBusy()
  }

  /** Resolves once no client has anything pending, or after `timeout`. */
  async drain(timeout: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeout)
    })
    const drained = Promise.all([this.client.whenIdle(), this.#attachments?.drain()])
    await Promise.race([drained, late])
    clearTimeout(timer)
  }

  /** Lets go of shared memory, after the last worker: what results still lie in goes with the last of them. */
  release(): void {
    this.#attachments?.close({ type: 'stopped' })
    // A stuck thread goes on using the memory: then it stays, as long as the process does.
    const unmaps = this.supervisor.isEmpty
    this.client.close(() => {
      if (unmaps) this.#memory.closePayloads()
    })
    if (!unmaps) return
    this.control.close()
    this.#memory.close()
  }

  /** The run has failed for good. */
  #fail(makeError: () => Error): void {
    this.#attachments?.close({ type: 'failed', message: makeError().message })
    this.#failPending(makeError)
    void this.supervisor.kill()
  }

  #failPending(makeError: () => Error): void {
    this.client.tick() // what the workers have said by now counts
    this.client.failAll(makeError)
  }

  #makeSupervisor(
    shared: ConstructorParameters<typeof Supervisor>[1],
    events: RunEvents,
  ): Supervisor {
    const log = this.#log
    const { diagnostics } = this.#plan
    const isReplaced = this.#plan.options.onWorkerDeath === 'restart'
    return new Supervisor(
      this.control,
      shared,
      plansOf(this.#plan),
      {
        onOutput: ({ step, worker, pid }, stream, written) =>
          this.#output.write(`${step}#${worker} ${pid}`, stream, written),
        onLog: (worker, record) => log.worker(worker, record),
        onStart: (worker) => diagnostics.workerStart(worker),
        onReady: (worker, isReplacement) => {
          if (isReplacement) log.takeOver(worker)
          diagnostics.workerReady(worker)
        },
        onExit: (death, isExpected) => diagnostics.workerExit(death, isExpected),
        onRestart: (worker) => diagnostics.workerRestart(worker),
        onDeath: (death) => {
          const cause = log.death(death, { isReplaced })
          if (isReplaced) return
          events.onFailed()
          this.#fail(() => new FlowStoppedError({ cause }))
        },
        onFailed: (error, death) => {
          log.failure(error, death)
          events.onFailed()
          this.#attachments?.suspend(error.message)
          this.#failPending(() => new StartError(error.message, { cause: error }))
        },
        onRecovered: (step) => {
          log.recovery(step)
          events.onRecovered()
          this.#attachments?.resume()
        },
        onRecycle: (worker, bytes, error) => log.recycling(worker, bytes, error),
      },
      flowDefaults,
    )
  }

  #makeAttachments(conditions: readonly (string | undefined)[]): Attachments | undefined {
    const { names, taskClasses, options, diagnostics } = this.#plan
    const { address, payloadThreshold, spin } = options
    if (address === undefined) return undefined
    const plan = {
      stepNames: names,
      conditions,
      taskClasses: [...taskClasses.keys()].map((taskClass) => (taskClass as { name: string }).name),
      payloadThreshold,
      spin,
    }
    return new Attachments(this.control, this.#memory, plan, address, {
      onAttached: (client, pid) => {
        this.#log.attached(client, pid)
        diagnostics.attach(client, pid)
        this.#onBusy() // it has not been asked to say when it is
      },
      onBusy: () => this.#onBusy(),
      onObserver: (observer) => this.#plan.watched.watch(new Broadcast(observer)),
      onDetached: (client, pid) => {
        this.#log.detached(client, pid)
        diagnostics.detach(client, pid)
      },
    })
  }
}

function shapeOf({ options, steps }: FlowPlan): FlowShape {
  return {
    clients: 1 + options.maxClients,
    slotsPerClient: options.maxPending,
    priorities: options.queuePriorities,
    priorityAgeing: options.priorityAgeing,
    refuseLate: options.refuseLate,
    inlineBytes: flowDefaults.inlineBytes,
    memory: options.memory,
    steps: steps.map(({ options: { nprocs, queueSize, batchSize } }) => ({
      workers: NUMBERS_PER_WORKER * nprocs,
      queueSize,
      gathers: batchSize > 1,
    })),
    metrics: options.metrics,
    birth: monotonic(),
  }
}

function plansOf({ steps, names, args, options, taskClasses }: FlowPlan): StepPlan[] {
  return steps.map(({ handler, options: step }, index) => ({
    ...step,
    name: names[index]!,
    handler: { url: handler.url, className: handler.name, args: args[index]! },
    taskClasses: [...taskClasses.keys()].map((taskClass) => ({
      name: (taskClass as { readonly name: string }).name,
      index: nearest(taskClassesOf(handler), taskClass),
    })),
    patience: step.handleTimeout === Infinity ? stepDefaults.patience : step.handleTimeout,
    retries: handler.writesInput === true || options.onWorkerDeath === 'stop' ? 0 : step.retries,
    spin: options.spin,
    checkInputs: options.checkInputs,
  }))
}
