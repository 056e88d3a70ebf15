import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { modelsFolder } from '../harness/peers.ts'
import { FLOAT, OnnxGraph, UINT8 } from './onnx-graph.ts'

export const SIDE = 224
export const CLASSES = 1000

/** The blocks of MobileNetV2: how much wider inside, channels, how often, stride of the first. */
const BLOCKS = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const

/** Part of the name of the file: a change of what follows makes a new one. */
const VERSION = 1

/**
 * The file of a network with the shape of MobileNetV2 and random weights: 3.5 million of them, batch normalisation folded
 * in. It takes raw pixels (bytes, rows of RGB) and brings them into form itself, so that no server has to. Made when it is
 * not there yet.
 */
export function mobilenetFile(): string {
  const file = join(modelsFolder, `mobilenet-${VERSION}.onnx`)
  if (existsSync(file)) return file
  mkdirSync(modelsFolder, { recursive: true })
  writeFileSync(`${file}.new`, makeMobilenet())
  renameSync(`${file}.new`, file)
  return file
}

function makeMobilenet(): Uint8Array {
  const graph = new OnnxGraph()
  const normal = normals(1)
  const weights = (dims: readonly number[], scale: number): string => {
    const values = new Float32Array(dims.reduce((product, dim) => product * dim, 1))
    for (let index = 0; index < values.length; index++) values[index] = normal() * scale
    return graph.constant(dims, values)
  }
  const scalar = (value: number): string => graph.constant([], Float32Array.of(value))
  const [zero, six] = [scalar(0), scalar(6)]

  const convolve = (
    input: string,
    from: number,
    to: number,
    { kernel = 1, stride = 1, group = 1, isLinear = false },
  ): string => {
    const dims = [to, from / group, kernel, kernel]
    // What goes in comes out as large, through 50 layers: twice as much where half is cut off.
    const scale = Math.sqrt((isLinear ? 1 : 2) / ((from / group) * kernel * kernel))
    const pad = (kernel - 1) / 2
    const output = graph.node('Conv', [input, weights(dims, scale), weights([to], 0.05)], {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
      group,
    })
    return isLinear ? output : graph.node('Clip', [output, zero, six])
  }

  const pixels = graph.node('Cast', ['pixels'], { to: FLOAT })
  const centred = graph.node('Sub', [graph.node('Mul', [pixels, scalar(1 / 127.5)]), scalar(1)])
  let at = graph.node('Transpose', [centred], { perm: [0, 3, 1, 2] })
  let channels = 32
  at = convolve(at, 3, channels, { kernel: 3, stride: 2 })
  for (const [wider, to, times, firstStride] of BLOCKS) {
    for (let time = 0; time < times; time++) {
      const stride = time === 0 ? firstStride : 1
      const inside = channels * wider
      let inner = wider === 1 ? at : convolve(at, channels, inside, {})
      inner = convolve(inner, inside, inside, { kernel: 3, stride, group: inside })
      inner = convolve(inner, inside, to, { isLinear: true })
      at = stride === 1 && channels === to ? graph.node('Add', [at, inner]) : inner
      channels = to
    }
  }
  at = convolve(at, channels, 1280, {})
  at = graph.node('Flatten', [graph.node('GlobalAveragePool', [at])])
  const classes = [weights([CLASSES, 1280], Math.sqrt(1 / 1280)), weights([CLASSES], 0.05)]
  graph.node('Gemm', [at, ...classes], { transB: 1 }, 'scores')
  return graph.toFile(
    'mobilenet',
    { name: 'pixels', type: UINT8, dims: [SIDE, SIDE, 3] },
    { name: 'scores', dims: [CLASSES] },
  )
}

/** Numbers around 0 with a deviation of 1, the same each time. */
function normals(seed: number): () => number {
  let state = seed
  const uniform = (): number => {
    // mulberry32
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
}
