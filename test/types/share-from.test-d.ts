// What must compile, and what must not: `tsc` is the test.
import { createReadStream } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import type { MultipartFile } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { BaseTask, BaseTaskHandler, Flow, FlowStep } from '../../src/index.ts'

class ImageTask extends BaseTask {
  image: Uint8Array = new Uint8Array(0)
  maybe?: Uint8Array
  samples: Float32Array | undefined = undefined
  file: Buffer | null = null
  raw: ArrayBuffer = new ArrayBuffer(0)
  view: DataView | undefined = undefined
  either: Uint8Array | Float32Array | undefined = undefined
  width = 0
}

class OtherTask extends BaseTask {
  text = ''
}

class ImageHandler extends BaseTaskHandler<ImageTask> {
  static readonly url = import.meta.url
  static readonly task = ImageTask
  handle(): void {}
}

class OtherHandler extends BaseTaskHandler<OtherTask> {
  static readonly url = import.meta.url
  static readonly task = OtherTask
  handle(): void {}
}

const task = new ImageTask()
const stream = createReadStream('file')
const size = { size: 5 }

// Sources: whatever a web framework calls a body.
declare const incoming: IncomingMessage
declare const fastify: FastifyRequest
declare const part: MultipartFile
declare const web: Request
declare const bytes: AsyncIterable<Uint8Array>
declare const texts: AsyncIterable<string>
declare const structural: {
  getReader(): {
    read(): Promise<{ done: false; value: Uint8Array } | { done: true; value?: undefined }>
    releaseLock(): void
  }
}
for (const source of [stream, incoming, fastify.raw, part.file, web.body!, bytes, structural])
  void task.shareFrom('image', source, size)
// @ts-expect-error bytes that are here already
void task.shareFrom('image', new Uint8Array(5), size)
// @ts-expect-error there may be no body
void task.shareFrom('image', web.body, size)
// @ts-expect-error an iterable of something else
void task.shareFrom('image', texts, size)

// Fields: the binary ones, with a class where a Uint8Array will not do.
void task.shareFrom('maybe', stream, size)
void task.shareFrom('image', stream, { ...size, as: Uint8Array })
void task.shareFrom('image', stream, { ...size, as: Buffer })
void task.shareFrom('samples', stream, { ...size, as: Float32Array })
void task.shareFrom('file', stream, { ...size, as: Buffer })
void task.shareFrom('raw', stream, { ...size, as: ArrayBuffer })
void task.shareFrom('view', stream, { ...size, as: DataView })
void task.shareFrom('either', stream, size)
void task.shareFrom('either', stream, { ...size, as: Float32Array })
// @ts-expect-error no class
void task.shareFrom('samples', stream, size)
// @ts-expect-error another class
void task.shareFrom('samples', stream, { ...size, as: Float64Array })
// @ts-expect-error a Uint8Array is no Buffer
void task.shareFrom('file', stream, size)
// @ts-expect-error a Uint8Array is no ArrayBuffer
void task.shareFrom('raw', stream, size)
// @ts-expect-error a Float32Array is no Uint8Array
void task.shareFrom('image', stream, { ...size, as: Float32Array })
// @ts-expect-error a number
void task.shareFrom('width', stream, size)
// @ts-expect-error a method
void task.shareFrom('release', stream, size)
// @ts-expect-error no such field
void task.shareFrom('imge', stream, size)

// Options: a size, the most it may be, or both.
void task.shareFrom('image', stream, { maxSize: 5 })
void task.shareFrom('image', stream, { size: undefined, maxSize: 5, timeout: 5, signal: undefined })
// @ts-expect-error neither
void task.shareFrom('image', stream, {})
// @ts-expect-error neither
void task.shareFrom('image', stream, { size: undefined })
// @ts-expect-error a misspelt option
void task.shareFrom('image', stream, { maxsize: 5 })

// A flow that takes the task.
void task.shareFrom('image', stream, { ...size, flow: new Flow([new FlowStep(ImageHandler)]) })
// @ts-expect-error a flow of other tasks
void task.shareFrom('image', stream, { ...size, flow: new Flow([new FlowStep(OtherHandler)]) })
