import { type Socket, connect } from 'node:net'
import { Mapping } from '../memory/mapping.ts'
import { Control, LAYOUT_VERSION } from '../transport/control.ts'
import { Descriptors } from '../transport/descriptors.ts'
import {
  type FlowMessage,
  type Welcome,
  peerOf,
  readFrames,
  sendFrame,
  socketPath,
} from '../transport/handshake.ts'

/** Why an attempt to attach failed, and whether another one may succeed. */
export class AttachFailure extends Error {
  readonly isFinal: boolean

  constructor(message: string, isFinal: boolean, options?: ErrorOptions) {
    super(message, options)
    this.isFinal = isFinal
  }
}

export interface AttachmentEvents {
  /** The flow takes no new tasks. */
  onStopping(attachment: Attachment): void
  /** The flow has ended: orderly, by failing, or without a word. Called once. */
  onEnded(attachment: Attachment, why: string): void
}

/** The memory of a flow that runs in another process, opened by this one. */
export class Attachment {
  readonly welcome: Welcome
  readonly control: Control
  /** Read end of the client's bell; its reader closes it. */
  readonly bell: number
  readonly #socket: Socket
  readonly #payloads: Mapping
  readonly #controlMapping: Mapping
  readonly #bells: Descriptors

  private constructor(socket: Socket, welcome: Welcome, pid: number) {
    const { memory, shape, client } = welcome
    const files = new Descriptors(pid)
    try {
      const controlFd = files.memory(memory.controlFd)
      const payloadFd = files.memory(memory.payloadFd)
      const bell = files.readEnd(memory.ownBell)
      const bells = memory.bells.map((fd) => files.writeEnd(fd))
      this.#controlMapping = Mapping.open(controlFd, memory.controlBytes)
      this.#payloads = Mapping.open(payloadFd, memory.payloadBytes)
      this.control = Control.attach(
        shape,
        { control: this.#controlMapping, payloads: this.#payloads, bells },
        client,
      )
      this.bell = files.handOver(bell)
      files.handOver(controlFd)
      files.handOver(payloadFd)
    } catch (error) {
      files.closeAll()
      throw error
    }
    this.#socket = socket
    this.#bells = files
    this.welcome = welcome
  }

  /** Attaches to the flow that listens at `address`. @throws AttachFailure */
  static open(address: string, signal: AbortSignal, events: AttachmentEvents): Promise<Attachment> {
    return new Promise((resolve, reject) => {
      const socket = connect(socketPath(address))
      let attachment: Attachment | undefined
      let lastWord = 'it ended without a word'
      const refuse = (failure: AttachFailure): void => {
        reject(failure)
        socket.destroy()
      }
      const giveUp = (): void => refuse(new AttachFailure('the time was over', false))
      signal.addEventListener('abort', giveUp, { once: true })
      socket.on('error', (error: NodeJS.ErrnoException) => {
        const what = error.code === 'ECONNREFUSED' ? 'no flow listens there' : error.message
        reject(new AttachFailure(what, false, { cause: error }))
      })
      socket.once('close', () => {
        signal.removeEventListener('abort', giveUp)
        if (attachment === undefined) reject(new AttachFailure(lastWord, false))
        else events.onEnded(attachment, lastWord)
      })
      readFrames(socket, (received) => {
        const message = received as FlowMessage
        switch (message.type) {
          case 'welcome':
            signal.removeEventListener('abort', giveUp)
            try {
              attachment = Attachment.#accept(socket, message)
              resolve(attachment)
            } catch (error) {
              refuse(error instanceof AttachFailure ? error : cannotOpen(error))
            }
            break
          case 'refused':
            lastWord = message.reason
            break
          case 'stopping':
            if (attachment !== undefined) events.onStopping(attachment)
            break
          case 'stopped':
            lastWord = 'it was stopped'
            break
          case 'failed':
            lastWord = `it failed: ${message.message}`
            break
        }
      })
    })
  }

  static #accept(socket: Socket, welcome: Welcome): Attachment {
    const peer = peerOf(socket)
    // The name of an abstract socket has no permissions: somebody else may have taken it.
    if (peer === undefined || peer.uid !== process.getuid?.())
      throw new AttachFailure('who listens there is another user', true)
    if (welcome.layout !== LAYOUT_VERSION)
      throw new AttachFailure('the flow runs another version of this library', true)
    return new Attachment(socket, welcome, peer.pid)
  }

  /** Says that nothing is pending. */
  sayIdle(): void {
    sendFrame(this.#socket, { type: 'idle' })
  }

  /** Lets go of the memory; the flow takes back what is left of this client. */
  close(): void {
    this.control.close()
    this.#bells.closeAll()
    this.#controlMapping.destroy()
    this.#payloads.destroy()
    this.#socket.destroy()
  }
}

const cannotOpen = (error: unknown): AttachFailure =>
  new AttachFailure(
    `its memory cannot be opened through /proc: ${error instanceof Error ? error.message : String(error)}`,
    true,
    { cause: error },
  )
