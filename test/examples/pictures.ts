import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp, { type Sharp } from 'sharp'
import { root } from './example.ts'

const NAMES = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']

const folder = join(root, 'examples/digits/samples')

/** The pictures of the repository, each named after its digit, as in `seven-scanned.png`. */
export const samples = readdirSync(folder)
  .filter((name) => /\.(png|jpe?g)$/.test(name))
  .map((name) => ({
    name,
    digit: NAMES.indexOf(name.split('-')[0]!),
    type: name.endsWith('.png') ? 'image/png' : 'image/jpeg',
    read: () => readFileSync(join(folder, name)),
  }))

/** A drawn seven. */
export const seven = (side: number): Sharp =>
  sharp(
    Buffer.from(
      `<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}" viewBox="0 0 28 28">` +
        '<rect width="28" height="28" fill="white"/>' +
        '<path d="M8 6h12l-8 17" fill="none" stroke="black" stroke-width="2.2"/></svg>',
    ),
  )

/** Paper and nothing on it. */
export const blank = (): Promise<Buffer> =>
  sharp({ create: { width: 64, height: 64, channels: 3, background: 'white' } })
    .png()
    .toBuffer()
