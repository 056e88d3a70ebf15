import { fileURLToPath } from 'node:url'
import { BaseTaskHandler } from 'aqueduct-ts'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { DigitTask } from './task.ts'

const PIXELS = 28 * 28
const DIGITS = 10

/** Asks the model, once for the whole batch. */
export class Classify extends BaseTaskHandler<DigitTask> {
  static readonly url = import.meta.url
  static readonly task = DigitTask
  #session!: InferenceSession

  // Runs in the worker: the web process never loads the model.
  override async onStart(): Promise<void> {
    const model = fileURLToPath(new URL('model/digits.onnx', import.meta.url))
    this.#session = await InferenceSession.create(model, { intraOpNumThreads: 1 })
  }

  override async handle(tasks: readonly DigitTask[]): Promise<void> {
    const input = new Float32Array(tasks.length * PIXELS)
    tasks.forEach((task, index) => input.set(task.pixels!, index * PIXELS))
    const image = new Tensor('float32', input, [tasks.length, 1, 28, 28])
    const { probabilities } = await this.#session.run({ image })
    const output = probabilities!.data as Float32Array
    tasks.forEach((task, index) => {
      task.probabilities = output.slice(index * DIGITS, (index + 1) * DIGITS)
    })
  }

  override async onStop(): Promise<void> {
    await this.#session.release()
  }
}
