import { once } from 'node:events'
import { closeSync, readdirSync } from 'node:fs'
import { type Socket, connect, createServer } from 'node:net'
import { serialize } from 'node:v8'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  BaseTask,
  Flow,
  FlowClient,
  type FlowClientOptions,
  FlowStep,
  InvalidOptionError,
  InvalidTaskError,
  StartError,
} from '../../src/index.ts'
import { LAYOUT_VERSION } from '../../src/transport/control.ts'
import { createBell } from '../../src/transport/bells.ts'
import { PickyTask, First } from '../fixtures/conditions.ts'
import { PictureHandler, PictureTask } from '../fixtures/pictures.ts'
import { SumTask } from '../fixtures/sum.ts'
import { attachedTo, clientOf, connectionsTo, newAddress, said } from '../support/clients.ts'
import { Journal, rejection, started, until } from '../support/flow.ts'
import { Program } from '../support/flow-program.ts'

const files = (): number => readdirSync('/proc/self/fd').length

let address: string
let flow: Flow<PictureTask>
let journal: Journal

beforeEach(async () => {
  address = newAddress()
  journal = new Journal()
  const step = new FlowStep(PictureHandler, { isolation: 'thread' })
  flow = await started(new Flow([step], { address, maxClients: 2, logger: journal }))
})

afterEach(() => flow.stop())

async function expectService(): Promise<void> {
  await using client = await attachedTo(address)
  using task = await client.process(new PictureTask(5, 50_000))
  expect(task.seen).toEqual([5])
}

describe('a client is refused', () => {
  test('with options that are missing, unknown or wrong', () => {
    const options: Partial<Record<string, unknown>>[] = [
      { task: PictureTask },
      { address: 'a' },
      { address: '', task: PictureTask },
      { address: 'a'.repeat(65), task: PictureTask },
      { address: 1, task: PictureTask },
      { address: 'a', task: [] },
      { address: 'a', task: 'PictureTask' },
      { address: 'a', task: PictureTask, logger: {} },
      { address: 'a', task: PictureTask, adress: 'a' },
    ]
    for (const each of options) {
      expect(() => new FlowClient(each as unknown as FlowClientOptions<PictureTask>)).toThrow(
        InvalidOptionError,
      )
    }
    const misspelt = { adress: 'a', task: PictureTask } as unknown as FlowClientOptions<PictureTask>
    expect(() => new FlowClient(misspelt)).toThrow("did you mean 'address'?")
  })

  test('with options of start() and stop() that are unknown or wrong', async () => {
    const client = clientOf(address)
    expect(await rejection(client.start({ timeout: -1 }))).toBeInstanceOf(InvalidOptionError)
    expect(await rejection(client.stop({ timeout: NaN }))).toBeInstanceOf(InvalidOptionError)
    expect(client.state).toBe('created')
  })

  test('where the flow handles no tasks of its class', async () => {
    const client = new FlowClient<PictureTask | SumTask>({ address, task: [PictureTask, SumTask] })
    const error = await rejection(client.start())
    expect(error).toBeInstanceOf(InvalidTaskError)
    expect((error as Error).message).toBe('the flow handles tasks of PictureTask, not SumTask')
    expect(client.state).toBe('stopped')
    await expectService()
  })

  test('where its class has no method for the condition of a step', async () => {
    const conditional = newAddress()
    const step = new FlowStep(First, { handleCondition: 'wantsFirst', isolation: 'thread' })
    await using _ = await started(new Flow([step], { address: conditional }))
    class Namesake extends BaseTask {}
    Object.defineProperty(Namesake, 'name', { value: PickyTask.name })
    const error = await rejection(new FlowClient({ address: conditional, task: Namesake }).start())
    expect(error).toBeInstanceOf(InvalidTaskError)
    expect((error as Error).message).toContain("PickyTask has no method 'wantsFirst'")
  })

  test('where its class cannot be told from another of that name', async () => {
    const twofold = newAddress()
    const { PictureTask: Twin, TwinHandler } = await import('../fixtures/twins.ts')
    const step = new FlowStep(TwinHandler, { isolation: 'thread' })
    await using _ = await started(new Flow([step], { address: twofold }))
    for (const task of [Twin, PictureTask]) {
      const error = await rejection(new FlowClient({ address: twofold, task }).start())
      expect((error as Error).message).toContain('several classes named PictureTask')
    }
  })

  test('and leaves no open file behind', async () => {
    const wrong = new FlowClient({ address, task: SumTask })
    await rejection(wrong.start())
    await until(() => connectionsTo(address) === 0, 'it is gone')
    const before = files()
    for (let attempt = 0; attempt < 5; attempt++) await rejection(wrong.start())
    await until(() => connectionsTo(address) === 0, 'it is gone')
    await until(() => files() === before, `${before} files are open`)
    await expectService()
  })

  test('where all places are taken, until one is free', async () => {
    const first = await attachedTo(address)
    await using _ = await attachedTo(address)
    const third = clientOf(address)
    const error = await rejection(third.start({ timeout: 2_000 }))
    expect(error).toBeInstanceOf(StartError)
    expect(error).toMatchObject({ code: 'AQ_START_TIMEOUT' })
    expect((error as Error).message).toContain('it has 2 clients, the most that it admits')
    const waiting = third.start({ timeout: 20_000 })
    await first.stop()
    await waiting
    expect((await third.process(new PictureTask(5, 50_000))).seen).toEqual([5])
    await third.stop()
  })
})

test('a flow is refused an address that another one has', async () => {
  const step = new FlowStep(PictureHandler, { isolation: 'thread' })
  const second = new Flow([step], { address })
  const error = await rejection(second.start())
  expect(error).toBeInstanceOf(StartError)
  expect((error as Error).message).toContain(`'${address}': another flow`)
  expect(second.state).toBe('stopped')
  await expectService()
  await flow.stop()
  await second.start()
  await expectService()
  await second.stop()
})

/** The name of the flow's socket. */
const socketName = (of = address): string => `aqueduct-ts/${process.getuid!()}/${of}`

function frame(message: unknown): Buffer {
  const body = serialize(message)
  const header = Buffer.alloc(4)
  header.writeUInt32LE(body.length)
  return Buffer.concat([header, body])
}
const hello = frame({ type: 'hello' })

/** Connections to the flow that each say one thing. */
async function talkers(chunks: readonly Buffer[]): Promise<Socket[]> {
  const sockets: Socket[] = []
  for (const chunk of chunks) {
    const socket = connect(`\0${socketName()}`)
    await once(socket, 'connect')
    socket.on('error', () => undefined)
    socket.write(chunk)
    sockets.push(socket)
  }
  return sockets
}

describe('what talks to a flow, and is no client,', () => {
  test('gets no place, and disturbs nobody', async () => {
    const header = Buffer.alloc(4)
    header.writeUInt32LE(1 << 19)
    const sockets = await talkers([
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.from([0, 0, 0, 0]),
      Buffer.from([1]),
      Buffer.from([4, 0, 0, 0, 1, 2, 3, 4]),
      Buffer.concat([header, Buffer.alloc(1000)]), // waits for the rest for ever
      Buffer.alloc(3_000_000, 255),
      frame(null),
      frame('hello'),
      frame({ type: 'idle' }),
      frame({ type: 'no such type' }),
      frame({}),
      Buffer.concat([frame(undefined), hello]), // once a peer has said nonsense, it is not listened to
    ])
    await expectService()
    for (const socket of sockets) socket.destroy()
    await until(() => connectionsTo(address) === 0, 'all are gone')
    await expectService()
    await journal.has((entries) => entries.length === 4)
    expect(flow.stats().tasks).toMatchObject({ admitted: 2, completed: 2 })
  })

  test('gets no second place', async () => {
    const [socket] = await talkers([Buffer.concat([hello, hello])])
    await expectService()
    socket!.destroy()
  })

  test('has its place taken back when it goes, whatever it has said', async () => {
    const sockets = await talkers([
      Buffer.concat([hello, hello, Buffer.alloc(100, 7)]),
      Buffer.concat([hello, frame({ type: 'idle' }), frame(3)]),
    ])
    await journal.reached('info', 2)
    expect(await rejection(clientOf(address).start({ timeout: 50 }))).toBeInstanceOf(StartError)
    for (const socket of sockets) socket.destroy()
    await expectService()
  })

  test('does not hold up the end of the flow', async () => {
    await talkers([hello, Buffer.from([1])])
    await journal.reached('info', 1)
    await flow.stop({ graceful: false })
    await until(() => connectionsTo(address) === 0, 'all are gone')
    expect(flow.state).toBe('stopped')
  })
})

/** Answers every connection with a welcome. */
async function welcoming(welcome: object): Promise<AsyncDisposable & { readonly address: string }> {
  const squatted = newAddress()
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.resume()
    socket.end(frame({ type: 'welcome', ...welcome }))
  })
  server.listen(`\0${socketName(squatted)}`)
  await once(server, 'listening')
  return {
    address: squatted,
    [Symbol.asyncDispose]: async () => {
      server.close()
      await once(server, 'close')
    },
  }
}

describe('what listens at an address and is', () => {
  test('a flow of another version of the library is not tried again', async () => {
    await using other = await welcoming({ layout: 999 })
    const error = await rejection(clientOf(other.address).start())
    expect(error).toBeInstanceOf(StartError)
    expect((error as Error).message).toContain('another version')
  })

  test('a flow that has ended meanwhile is tried again', async () => {
    const { read, write } = createBell()
    const memory = { controlFd: 9_999, payloadFd: 9_999, ownBell: read, bells: [write] }
    await using other = await welcoming({ layout: LAYOUT_VERSION, memory })
    const before = files()
    const error = await rejection(clientOf(other.address).start({ timeout: 200 }))
    expect(error).toMatchObject({ code: 'AQ_START_TIMEOUT' })
    expect((error as Error).message).toContain('no such file')
    await until(() => files() === before, `${before} files are open`)
    for (const fd of [read, write]) closeSync(fd)
  })
})

describe.skipIf(process.getuid!() !== 0)('another user', () => {
  test('who talks to the flow gets nothing', async () => {
    await using stranger = new Program('stranger.ts', 'talk', socketName(), hello.toString('hex'))
    expect(await stranger.message()).toEqual({ state: 'closed', received: 0 })
    await expectService()
    await journal.reached('info', 2)
    expect(journal.count('info')).toBe(2)
  })

  test.each([
    ['nothing', []],
    ['no message', [frame(null), frame(1)]],
    ['a welcome', [frame({ type: 'welcome', layout: 1 })]],
  ])('who listens in place of the flow, and says %s, is not listened to', async (_, frames) => {
    const squatted = newAddress()
    const words = frames.map((each) => each.toString('hex'))
    await using stranger = new Program('stranger.ts', 'listen', socketName(squatted), ...words)
    await said(stranger, { state: 'listening' })
    const client = clientOf(squatted)
    const error = await rejection(client.start())
    expect(error).toBeInstanceOf(StartError)
    expect((error as Error).message).toContain('who listens there is another user')
    expect(client.state).toBe('stopped')
  })
})
