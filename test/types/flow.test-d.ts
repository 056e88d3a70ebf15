// What must compile, and what must not: `tsc` is the test.
import { BaseTask, BaseTaskHandler, Flow, FlowStep, type TaskTimings } from '../../src/index.ts'

class SumTask extends BaseTask {
  readonly number: number
  readonly image = new Uint8Array(1)
  sum?: number

  constructor(number: number) {
    super()
    this.number = number
  }

  isEven(): boolean {
    return this.number % 2 === 0
  }

  describe(): string {
    return String(this.number)
  }

  isAbove(limit: number): boolean {
    return this.number > limit
  }
}

class OtherTask extends BaseTask {
  readonly text: string = ''
}

/** A task with more than the step wants. */
class SpecialSumTask extends SumTask {
  readonly special = true
}

class SumHandler extends BaseTaskHandler<SumTask> {
  static readonly url = import.meta.url
  static readonly task = SumTask
  handle(tasks: readonly SumTask[]): void {
    for (const task of tasks) task.sum = task.number + 1
  }
}

class OtherHandler extends BaseTaskHandler<OtherTask> {
  static readonly url = import.meta.url
  static readonly task = OtherTask
  async handle(tasks: readonly OtherTask[]): Promise<void> {
    await Promise.resolve(tasks)
  }
}

class SpecialHandler extends BaseTaskHandler<SpecialSumTask> {
  static readonly url = import.meta.url
  static readonly task = SpecialSumTask
  handle(tasks: readonly SpecialSumTask[]): void {
    for (const task of tasks) task.sum = Number(task.special)
  }
}

class BothHandler extends BaseTaskHandler<SumTask | OtherTask> {
  static readonly url = import.meta.url
  static readonly task = [SumTask, OtherTask] as const
  handle(tasks: readonly (SumTask | OtherTask)[]): void {
    for (const task of tasks) if (task instanceof SumTask) task.sum = 1
  }
}

class ScaleHandler extends BaseTaskHandler<SumTask> {
  static readonly url = import.meta.url
  static readonly task = SumTask
  readonly #factor: number

  constructor(factor: number, _mode: 'fast' | 'exact') {
    super()
    this.#factor = factor
  }

  handle(tasks: readonly SumTask[]): void {
    for (const task of tasks) task.sum = task.number * this.#factor
  }
}

class LostHandler extends BaseTaskHandler<SumTask> {
  static readonly task = SumTask
  handle(): void {}
}

// A flow accepts the tasks of its steps, and resolves with what it was given.
const flow: Flow<SumTask> = new Flow([new FlowStep(SumHandler), SumHandler])
const special: Promise<SpecialSumTask> = flow.process(new SpecialSumTask(1))
const sum: Promise<number | undefined> = flow.process(new SumTask(1)).then((task) => task.sum)
void [special, sum]
// @ts-expect-error another task
void flow.process(new OtherTask())
// @ts-expect-error no task at all
void flow.process({ number: 1 })
// @ts-expect-error a misspelt option
void flow.process(new SumTask(1), { timout: 5 })

// Every step has to handle the tasks of the flow.
// @ts-expect-error a handler of another task
void new Flow<SumTask>([new FlowStep(OtherHandler)])
// @ts-expect-error a handler of another task, as a class
void new Flow<SumTask>([OtherHandler])
// @ts-expect-error two handlers that have no task in common
void new Flow([new FlowStep(SumHandler), new FlowStep(OtherHandler)]).process(new SumTask(1))
// @ts-expect-error a handler that wants more than the tasks of the flow have
void new Flow<SumTask>([new FlowStep(SpecialHandler)])
// A handler that wants less, or takes several classes, fits.
void new Flow<SpecialSumTask>([new FlowStep(SumHandler), new FlowStep(SpecialHandler)])
const both = new Flow([new FlowStep(BothHandler)])
void both.process(new SumTask(1))
void both.process(new OtherTask())
void new Flow<SumTask>([new FlowStep(SumHandler), new FlowStep(BothHandler)])

// A condition is a boolean method of the task, without arguments.
void new FlowStep(SumHandler, { handleCondition: 'isEven' })
// @ts-expect-error no such method
void new FlowStep(SumHandler, { handleCondition: 'isOdd' })
// @ts-expect-error a method that is not boolean
void new FlowStep(SumHandler, { handleCondition: 'describe' })
// @ts-expect-error a method with an argument
void new FlowStep(SumHandler, { handleCondition: 'isAbove' })
// @ts-expect-error a field
void new FlowStep(SumHandler, { handleCondition: 'number' })

// `args` are those of the handler's constructor: required where it has any.
void new FlowStep(ScaleHandler, { args: [2, 'fast'], nprocs: 2 })
// @ts-expect-error no args
void new FlowStep(ScaleHandler)
// @ts-expect-error no args among the options
void new FlowStep(ScaleHandler, { nprocs: 2 })
// @ts-expect-error too few
void new FlowStep(ScaleHandler, { args: [2] })
// @ts-expect-error of the wrong type
void new FlowStep(ScaleHandler, { args: [2, 'slow'] })
// @ts-expect-error a class whose constructor wants arguments cannot stand alone
void new Flow([ScaleHandler])
// @ts-expect-error args where there are none to give
void new FlowStep(SumHandler, { args: [1] })
void new Flow<SumTask>([SumHandler, new FlowStep(ScaleHandler, { args: [2, 'exact'] })])

// @ts-expect-error a class that does not say where workers find it
void new FlowStep(LostHandler)
// @ts-expect-error an instance
void new FlowStep(new SumHandler())
// @ts-expect-error a misspelt option
void new FlowStep(SumHandler, { batchsize: 2 })
// @ts-expect-error no such isolation
void new FlowStep(SumHandler, { isolation: 'fiber' })
// @ts-expect-error options do not change
new FlowStep(SumHandler).options.nprocs = 2

// Only binary fields can be taken out of shared memory.
const task = new SumTask(1)
const image: Uint8Array = task.take('image')
const timings: TaskTimings | undefined = task.timings
void [image, timings]
// @ts-expect-error a number
task.take('number')
