import { BaseTask } from 'aqueduct-ts'

/** What the service answers for a picture of a digit. */
export interface Answer {
  /** 0 to 9. */
  readonly digit: number
  /** How sure the model is of it: 0 to 1. */
  readonly confidence: number
  /** The same for each of the ten digits. */
  readonly scores: readonly number[]
}

/** One picture on its way through the flow. Each step fills in what the next one needs. */
export class DigitTask extends BaseTask {
  /** The bytes of a PNG or JPEG file. The server receives them straight into shared memory. */
  readonly image: Uint8Array
  /** Decode: why the picture cannot be read, in words for its sender. */
  problem?: string
  /** Decode: 28 x 28 values, ink is 1 and paper 0. */
  pixels?: Float32Array
  /** Classify: ten probabilities. */
  probabilities?: Float32Array
  /** Answer: what the sender gets. */
  answer?: Answer

  constructor(image: Uint8Array = new Uint8Array(0)) {
    super()
    this.image = image
  }

  /** Tasks for which this is false skip the steps that name it as their `handleCondition`. */
  isReadable(): boolean {
    return this.problem === undefined
  }
}
