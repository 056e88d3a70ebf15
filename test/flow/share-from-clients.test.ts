import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { Flow, FlowClient, FlowStep } from '../../src/index.ts'
import { DigestHandler, UploadTask } from '../fixtures/uploads.ts'
import { bytesOf, pieces, sha1 } from '../support/bodies.ts'
import { describeIsolations, handsOutViews, rejection, started, until } from '../support/flow.ts'
import { Program } from '../support/flow-program.ts'

const MiB = 2 ** 20
const body = bytesOf(MiB)
const stream = (): Readable => Readable.from(pieces(body, [65_536]))

let addresses = 0
const newAddress = (): string => `share-${process.pid}-${addresses++}`

describeIsolations('shareFrom() in a client of a flow', (isolation) => {
  const serving = (address: string): Promise<Flow<UploadTask>> =>
    started(
      new Flow([new FlowStep(DigestHandler, { isolation })], { address, memory: 1366 * 4096 }),
    )

  test("receives bodies into the flow's memory", async () => {
    const address = newAddress()
    await using flow = await serving(address)
    const client = new FlowClient({ address, task: UploadTask })
    await client.start()
    const task = new UploadTask()
    // This process has the flow and a client of it: one of them has to be named.
    const ambiguous = await rejection(task.shareFrom('body', stream(), { size: MiB }))
    expect(ambiguous).toMatchObject({ code: 'AQ_INVALID_OPTION', option: 'flow' })
    await task.shareFrom('body', stream(), { size: MiB, flow: client })
    expect(flow.stats().memory.blocksInUse).toBe(handsOutViews ? 1 : 0)
    await client.process(task)
    expect(task.digest).toBe(sha1(body))
    task.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
    // In the flow's own process its body is an ordinary buffer of another client.
    await task.shareFrom('body', stream(), { maxSize: MiB, flow: client })
    await flow.process(task)
    expect(task.digest).toBe(sha1(body))
    task.release()
    expect(flow.stats().memory.blocksInUse).toBe(0)
    await client.stop()
    const stopped = rejection(task.shareFrom('body', stream(), { size: MiB, flow: client }))
    expect(await stopped).toMatchObject({ code: 'AQ_NOT_RUNNING' })
  })

  test.runIf(handsOutViews)('a client that dies leaves nothing of its bodies', async () => {
    const address = newAddress()
    await using flow = await serving(address)
    await using program = new Program('receiving-client.ts', address)
    expect(await program.message()).toEqual({ received: MiB })
    expect(flow.stats().memory.blocksInUse).toBe(2)
    program.kill('SIGKILL')
    await program.ended()
    await until(() => flow.stats().memory.blocksInUse === 0, 'its blocks are free')
    using task = new UploadTask()
    const parts = Array.from({ length: 4 }, () => body)
    await task.shareFrom('body', Readable.from(parts), { size: 4 * MiB })
    await flow.process(task)
    expect(task.digest).toBe(sha1(Buffer.concat(parts)))
  })
})
