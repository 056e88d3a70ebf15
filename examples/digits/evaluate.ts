/**
 * How well the whole way works, from the bytes of a file to the digit: `normalise` and the model.
 *
 * *     ORT_DISABLE_TELEMETRY=1 node evaluate.ts [folder] [--limit 500]
 *
 * Reads the pictures of a folder (default: samples/), each named after its digit as in
 * `seven-scanned.png`, as they are and rendered anew in several sizes, polarities, stroke widths and
 * formats, and prints how many are right. Ends with code 1 when one that is read as it is is wrong.
 * `train/train.py --held-out <folder>` writes all the held-out digits for it.
 */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import sharp from 'sharp'
import { BadImageError, normalise } from './normalise.ts'

const NAMES = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']

interface Rendering {
  readonly side: number // pixels
  readonly format: 'png' | 'jpeg'
  readonly negative?: boolean // the other polarity
  readonly pen?: number // share of the side by which the strokes get wider, or narrower
  readonly contrast?: number // share of the contrast that is left
  readonly shade?: number // levels of 255 from the top left corner to the bottom right
}

/** What each picture is turned into. */
const RENDERINGS: Readonly<Record<string, Rendering>> = {
  'PNG 64': { side: 64, format: 'png' },
  'PNG 280': { side: 280, format: 'png' },
  'PNG 280, negative': { side: 280, format: 'png', negative: true },
  'PNG 280, thinner': { side: 280, format: 'png', pen: -0.015 },
  'PNG 280, fatter': { side: 280, format: 'png', pen: 0.03 },
  'PNG 280, fatter, negative': { side: 280, format: 'png', pen: 0.03, negative: true },
  'PNG 280, very fat': { side: 280, format: 'png', pen: 0.055 },
  'JPEG 400, faint': { side: 400, format: 'jpeg', contrast: 0.25 },
  'JPEG 400, shaded': { side: 400, format: 'jpeg', contrast: 0.5, shade: 90 },
  'JPEG 400, shaded, negative': {
    side: 400,
    format: 'jpeg',
    contrast: 0.5,
    shade: 90,
    negative: true,
  },
  'JPEG 1600': { side: 1600, format: 'jpeg' },
  'JPEG 1600, negative': { side: 1600, format: 'jpeg', negative: true },
}

interface Sample {
  readonly name: string
  readonly digit: number
  readonly bytes: Uint8Array
}

async function readSamples(folder: string, limit: number): Promise<Sample[]> {
  const files = (await readdir(folder)).filter((name) => /\.(png|jpe?g)$/.test(name)).toSorted()
  const step = Math.max(1, files.length / limit)
  const chosen = files.filter(
    (_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step),
  )
  return Promise.all(
    chosen.map(async (name) => {
      const digit = NAMES.indexOf(name.split('-')[0] ?? '')
      if (digit < 0)
        throw new Error(`${name}: the name must begin with the digit, as in seven-….png`)
      return { name, digit, bytes: await readFile(join(folder, name)) }
    }),
  )
}

/** The picture anew: put on paper of its own colour, with a margin, as `how` says. */
async function render(bytes: Uint8Array, how: Rendering): Promise<Uint8Array> {
  const { side } = how
  const inner = Math.round(side * 0.8)
  const margin = Math.round((side - inner) / 2)
  const { data, info } = await sharp(bytes)
    .flatten({ background: 'white' })
    .greyscale()
    .resize(inner, inner, { fit: 'contain', background: await paperOf(bytes), kernel: 'cubic' })
    .extend({
      top: margin,
      bottom: margin,
      left: margin,
      right: margin,
      extendWith: 'copy',
    })
    .raw()
    .toBuffer({ resolveWithObject: true })
  const darkInk = (data[0] ?? 0) > 127
  let picture = sharp(data, { raw: { width: info.width, height: info.height, channels: 1 } })
  const pen = Math.round((Math.abs(how.pen ?? 0) * side) / 2)
  if (pen > 0) {
    // What is dark grows under sharp's `dilate`, and shrinks under its `erode`.
    picture = how.pen! > 0 === darkInk ? picture.dilate(pen) : picture.erode(pen)
  }
  if (how.negative) picture = picture.negate()
  const levels = Buffer.from(await picture.greyscale().raw().toBuffer())
  if (how.contrast !== undefined || how.shade !== undefined) {
    for (let i = 0; i < levels.length; i++) {
      const [x, y] = [i % info.width, Math.floor(i / info.width)]
      const shade = ((how.shade ?? 0) * (x + y)) / (info.width + info.height)
      levels[i] = 60 + levels[i]! * (how.contrast ?? 1) * 0.6 + shade
    }
  }
  const out = sharp(levels, { raw: { width: info.width, height: info.height, channels: 1 } })
  return how.format === 'png' ? out.png().toBuffer() : out.jpeg({ quality: 60 }).toBuffer()
}

/** The colour of the corner, for the margin. */
async function paperOf(bytes: Uint8Array): Promise<{ r: number; g: number; b: number }> {
  const { data } = await sharp(bytes)
    .flatten({ background: 'white' })
    .toColourspace('srgb')
    .extract({ left: 0, top: 0, width: 1, height: 1 })
    .raw()
    .toBuffer({ resolveWithObject: true })
  return { r: data[0] ?? 0, g: data[1] ?? data[0] ?? 0, b: data[2] ?? data[0] ?? 0 }
}

interface Answer {
  readonly digit: number
  readonly confidence: number
}

async function recognise(session: InferenceSession, bytes: Uint8Array): Promise<Answer> {
  let pixels: Float32Array
  try {
    pixels = await normalise(bytes)
  } catch (error) {
    if (error instanceof BadImageError) return { digit: -1, confidence: 0 } // counts as wrong
    throw error
  }
  const answer = await session.run({ image: new Tensor('float32', pixels, [1, 1, 28, 28]) })
  const scores = [...(answer['probabilities']!.data as Float32Array)]
  const confidence = Math.max(...scores)
  return { digit: scores.indexOf(confidence), confidence }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { limit: { type: 'string', default: '500' } },
  })
  const folder = positionals[0] ?? join(import.meta.dirname, 'samples')
  const samples = await readSamples(folder, Number(values.limit))
  const session = await InferenceSession.create(join(import.meta.dirname, 'model', 'digits.onnx'))

  let right = 0
  const started = performance.now()
  for (const { name, digit, bytes } of samples) {
    const answer = await recognise(session, bytes)
    if (answer.digit === digit) right++
    else console.log(`wrong: ${name} read as ${answer.digit} (${answer.confidence.toFixed(2)})`)
  }
  const each = (performance.now() - started) / samples.length
  print('as it is', right, samples.length, ` (${each.toFixed(1)} ms each)`)
  if (right < samples.length) process.exitCode = 1

  let allRight = 0
  for (const [title, how] of Object.entries(RENDERINGS)) {
    let count = 0
    for (const { digit, bytes } of samples) {
      const answer = await recognise(session, await render(bytes, how))
      if (answer.digit === digit) count++
    }
    print(title, count, samples.length)
    allRight += count
  }
  print('all renderings', allRight, samples.length * Object.keys(RENDERINGS).length)
}

function print(title: string, right: number, total: number, more = ''): void {
  const share = ((100 * right) / total).toFixed(2)
  console.log(`${title.padEnd(28)} ${right} of ${total}  ${share} %${more}`)
}

await main()
