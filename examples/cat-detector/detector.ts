import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'

/** Milliseconds that the model takes for one image alone … */
export const IMAGE_TIME = 10
/** … and the share of it that each image takes in a batch. */
export const BATCH_FACTOR = 0.7

/** Stands for a model on a GPU: the processor waits for it, and a batch is cheaper than its images one by one. */
class CatDetector {
  readonly #never = new Int32Array(new SharedArrayBuffer(4))

  /** Says of every image that there is a cat in it. */
  predict(images: readonly Uint8Array[]): boolean[] {
    const factor = images.length === 1 ? 1 : BATCH_FACTOR
    Atomics.wait(this.#never, 0, 0, images.length * IMAGE_TIME * factor)
    return images.map(() => true)
  }
}

export class CatTask extends BaseTask {
  /** Three channels, one after another. */
  readonly image: Uint8Array
  isCat?: boolean

  constructor(image: Uint8Array) {
    super()
    this.image = image
  }
}

export class CatHandler extends BaseTaskHandler<CatTask> {
  static readonly url = import.meta.url
  static readonly task = CatTask
  readonly #detector = new CatDetector()

  override handle(tasks: readonly CatTask[]): void {
    const cats = this.#detector.predict(tasks.map(({ image }) => image))
    tasks.forEach((task, index) => {
      task.isCat = cats[index]!
    })
  }
}
