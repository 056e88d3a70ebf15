import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { normalise } from '../../examples/digits/normalise.ts'
import { modelsFolder } from '../harness/peers.ts'
import { SIDE, mobilenetFile } from './mobilenet.ts'
import { Network, type NetworkPlan, type Prediction } from './network.ts'

/** A network, bodies for it in files, and what it says of each. */
export interface Sampled {
  readonly model: NetworkPlan['model']
  readonly file: string
  readonly requests: readonly {
    readonly file: string
    readonly expected: { readonly index: number; readonly score: number }
  }[]
}

const IMAGES = 8
const DIGITS = fileURLToPath(new URL('../../examples/digits/', import.meta.url))

/** The digits of the example, as the raw pixels that its model knows. */
export async function digitSamples(): Promise<Sampled> {
  const folder = join(DIGITS, 'samples')
  const pictures = readdirSync(folder).toSorted()
  const bodies = await Promise.all(
    pictures.map(async (name) =>
      Uint8Array.from(await normalise(readFileSync(join(folder, name))), (ink) =>
        Math.round(ink * 255),
      ),
    ),
  )
  return sampled('digits', join(DIGITS, 'model', 'digits.onnx'), bodies)
}

/** Pictures of coloured waves for the network with random weights. */
export async function imageSamples(): Promise<Sampled> {
  const bodies = Array.from({ length: IMAGES }, (_, image) =>
    Uint8Array.from({ length: SIDE * SIDE * 3 }, (_value, at) => {
      const [x, y, colour] = [Math.floor(at / 3) % SIDE, Math.floor(at / 3 / SIDE), at % 3]
      const wave =
        Math.sin((x * (image + 1)) / 20 + colour) + Math.cos((y * (colour + 1)) / (9 + image * 5))
      return Math.round(127.5 + 60 * wave)
    }),
  )
  return sampled('mobilenet', mobilenetFile(), bodies)
}

async function sampled(
  model: NetworkPlan['model'],
  file: string,
  bodies: readonly Uint8Array[],
): Promise<Sampled> {
  const folder = join(modelsFolder, `${model}-bodies`)
  mkdirSync(folder, { recursive: true })
  const network = await Network.load({ model, file, threads: 1 })
  const predictions: Prediction[] = []
  for (const body of bodies) predictions.push(...(await network.predict([body])))
  const requests = bodies.map((body, index) => {
    const path = join(folder, String(index))
    writeFileSync(path, body)
    return { file: path, expected: predictions[index]! }
  })
  return { model, file, requests }
}
