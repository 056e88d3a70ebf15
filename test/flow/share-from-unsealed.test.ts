import { Readable } from 'node:stream'
import { expect, test, vi } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { DigestHandler, UploadTask } from '../fixtures/uploads.ts'
import { bytesOf, pieces, sha1 } from '../support/bodies.ts'
import { describeIsolations, rejection, started } from '../support/flow.ts'

// An engine that cannot seal a buffer (Node 22), or a program that runs in a thread.
vi.mock(import('../../src/memory/sealed-buffer.ts'), () => ({
  canSeal: false,
  seal: () => undefined,
  unseal: () => undefined,
  forgetSeal: () => undefined,
}))

const MiB = 2 ** 20
const body = bytesOf(MiB)
const stream = (): Readable => Readable.from(pieces(body, [100_000]))

describeIsolations(
  'where leases cannot be guarded, a body lies in ordinary memory',
  (isolation) => {
    test('it has the length that came, and what is wrong with it is an error all the same', async () => {
      await using flow = await started(
        new Flow([new FlowStep(DigestHandler, { isolation })], { memory: 8 * MiB }),
      )
      for (const size of [{ size: MiB }, { maxSize: MiB }, { maxSize: 5 * MiB }]) {
        using task = new UploadTask()
        await task.shareFrom('body', stream(), size)
        expect(task.body!.buffer.byteLength).toBe(MiB)
        expect(flow.stats().memory.blocksInUse).toBe(0)
        expect(
          structuredClone(task.body, { transfer: [task.body!.buffer as ArrayBuffer] }),
        ).toEqual(body) // its own
        task.release()
        await task.shareFrom('body', stream(), size)
        await flow.process(task)
        expect(task.digest).toBe(sha1(body))
      }
      for (const [size, code] of [
        [{ size: MiB - 1 }, 'AQ_BODY_LONG'],
        [{ size: MiB + 1 }, 'AQ_BODY_SHORT'],
        [{ maxSize: MiB - 1 }, 'AQ_PAYLOAD_TOO_LARGE'],
        [{ size: 9 * MiB }, 'AQ_PAYLOAD_TOO_LARGE'],
      ] as const) {
        const error = await rejection(new UploadTask().shareFrom('body', stream(), size))
        expect(error).toMatchObject({ code })
      }
      expect(flow.stats().memory.blocksInUse).toBe(0)
    })
  },
)
