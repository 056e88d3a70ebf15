import { InferenceSession, Tensor } from 'onnxruntime-node'
import { SIDE } from './mobilenet.ts'

/** What each server answers. */
export interface Prediction {
  /** The class that is the most likely. */
  readonly index: number
  readonly score: number
}

/** Which network, and with how many threads of the runtime for each call. */
export interface NetworkPlan {
  readonly model: 'digits' | 'mobilenet'
  readonly file: string
  readonly threads: number
}

const DIGIT_PIXELS = 28 * 28
const IMAGE_BYTES = SIDE * SIDE * 3

/** A network in this process: raw pixels in, predictions out. Every side of the comparison in Node.js calls this. */
export class Network {
  readonly #session: InferenceSession
  readonly #model: NetworkPlan['model']

  private constructor(session: InferenceSession, model: NetworkPlan['model']) {
    this.#session = session
    this.#model = model
  }

  static async load({ model, file, threads }: NetworkPlan): Promise<Network> {
    const session = await InferenceSession.create(file, { intraOpNumThreads: threads })
    return new Network(session, model)
  }

  async predict(bodies: readonly Uint8Array[]): Promise<Prediction[]> {
    const output =
      this.#model === 'digits' ? await this.#digits(bodies) : await this.#images(bodies)
    const classes = output.length / bodies.length
    return bodies.map((_, index) => best(output.subarray(index * classes, (index + 1) * classes)))
  }

  async #digits(bodies: readonly Uint8Array[]): Promise<Float32Array> {
    const input = new Float32Array(bodies.length * DIGIT_PIXELS)
    bodies.forEach((body, index) => {
      for (let pixel = 0; pixel < DIGIT_PIXELS; pixel++)
        input[index * DIGIT_PIXELS + pixel] = body[pixel]! / 255
    })
    const image = new Tensor('float32', input, [bodies.length, 1, 28, 28])
    const { probabilities } = await this.#session.run({ image })
    return probabilities!.data as Float32Array
  }

  async #images(bodies: readonly Uint8Array[]): Promise<Float32Array> {
    const pixels = new Tensor('uint8', together(bodies), [bodies.length, SIDE, SIDE, 3])
    const { scores } = await this.#session.run({ pixels })
    return scores!.data as Float32Array
  }
}

/** One after another; a single one stays where it is. */
function together(bodies: readonly Uint8Array[]): Uint8Array {
  const [first] = bodies
  if (bodies.length === 1) return new Uint8Array(first!.buffer, first!.byteOffset, first!.length)
  const all = new Uint8Array(bodies.length * IMAGE_BYTES)
  bodies.forEach((body, index) => all.set(body, index * IMAGE_BYTES))
  return all
}

function best(scores: Float32Array): Prediction {
  let index = 0
  for (let other = 1; other < scores.length; other++)
    if (scores[other]! > scores[index]!) index = other
  return { index, score: scores[index]! }
}
