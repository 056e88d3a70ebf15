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
  /** The flow can do nothing for now. */
  onSuspended(attachment: Attachment, why: string): void
  /** It can again. */
  onResumed(attachment: Attachment): void
  /** The flow asks to be told, once, when this client has something pending. */
  onAskBusy(attachment: Attachment): void
  /** The flow has ended: orderly, by failing, or without a word. Called once. */
  onEnded(attachment: Attachment, why: string): void
}

/** The memory of a flow that runs in another process, opened by this one. */
export class Attachment {
  readonly welcome: Welcome
  readonly control: Control
  /** Whether the flow takes no new tasks. */
  isStopping = false
  /** Whether the flow can do nothing for now. */
  isSuspended = false
  readonly #socket: Socket
  readonly #payloads: Mapping
  readonly #controlMapping: Mapping
  /** The bells. */
  readonly #files: Descriptors
  readonly #bell: number

  private constructor(socket: Socket, welcome: Welcome, pid: number) {
    const { memory, shape, client } = welcome
    const files = new Descriptors(pid)
    const mapped: Mapping[] = []
    const map = (fd: number, bytes: number): Mapping => {
      const mapping = Mapping.open(files.memory(fd), bytes)
      files.handOver(mapping.fd)
      mapped.push(mapping)
      return mapping
    }
    try {
      this.#bell = files.readEnd(memory.ownBell)
      const bells = memory.bells.map((fd) => files.writeEnd(fd))
      this.#controlMapping = map(memory.controlFd, memory.controlBytes)
      this.#payloads = map(memory.payloadFd, memory.payloadBytes)
      const connection = { control: this.#controlMapping, payloads: this.#payloads, bells }
      this.control = Control.attach(shape, connection, client)
    } catch (error) {
      for (const mapping of mapped) mapping.destroy()
      files.closeAll()
      throw error
    }
    this.#socket = socket
    this.#files = files
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
      const onMessage = (message: FlowMessage, pid: number): void => {
        switch (message.type) {
          case 'welcome':
            if (attachment !== undefined) return
            signal.removeEventListener('abort', giveUp)
            try {
              attachment = Attachment.#accept(socket, message, pid)
              resolve(attachment)
            } catch (error) {
              refuse(error instanceof AttachFailure ? error : cannotOpen(error))
            }
            break
          case 'refused':
            lastWord = message.reason
            break
          case 'stopping':
            if (attachment === undefined) return
            attachment.isStopping = true
            events.onStopping(attachment)
            break
          case 'suspended':
            if (attachment === undefined) return
            attachment.isSuspended = true
            events.onSuspended(attachment, message.message)
            break
          case 'resumed':
            if (attachment === undefined) return
            attachment.isSuspended = false
            events.onResumed(attachment)
            break
          case 'ask-busy':
            if (attachment !== undefined) events.onAskBusy(attachment)
            break
          case 'stopped':
            lastWord = 'it was stopped'
            break
          case 'failed':
            lastWord = `it failed: ${message.message}`
            break
          case 'history':
          case 'sample': // for observers
            break
        }
      }
      socket.once('connect', () => {
        const peer = peerOf(socket)
        // The name of an abstract socket has no permissions: somebody else may have taken it, and is not listened to.
        if (peer === undefined) socket.destroy()
        else if (peer.uid !== process.getuid?.())
          refuse(new AttachFailure('who listens there is another user', true))
        else {
          readFrames(socket, (message) => onMessage(message as FlowMessage, peer.pid))
          sendFrame(socket, { type: 'hello' })
        }
      })
    })
  }

  static #accept(socket: Socket, welcome: Welcome, pid: number): Attachment {
    if (welcome.layout !== LAYOUT_VERSION)
      throw new AttachFailure('the flow runs another version of this library', true)
    if (pid === 0) {
      const message = 'its process is in another PID namespace: its memory cannot be opened here'
      throw new AttachFailure(message, true)
    }
    return new Attachment(socket, welcome, pid)
  }

  /** The read end of the client's bell; whoever takes it closes it. */
  takeBell(): number {
    return this.#files.handOver(this.#bell)
  }

  /** Says that nothing is pending. */
  sayIdle(): void {
    sendFrame(this.#socket, { type: 'idle' })
  }

  /** Says that something is pending. */
  sayBusy(): void {
    sendFrame(this.#socket, { type: 'busy' })
  }

  /** Says that the attachment no longer is a reason for the program to go on. */
  unref(): void {
    this.#socket.unref()
  }

  /** Lets go of the memory; the flow takes back what is left of this client. */
  close(): void {
    this.control.close()
    this.#files.closeAll()
    this.#controlMapping.destroy()
    this.#payloads.destroy()
    this.#socket.destroy()
  }
}

/** What the system says of a process that has ended meanwhile, or when there are too many open files just now. */
const PASSING = ['ENOENT', 'ESRCH', 'ENXIO', 'EMFILE', 'ENFILE']

function cannotOpen(error: unknown): AttachFailure {
  const { code, message } = error as NodeJS.ErrnoException
  return new AttachFailure(
    `its memory cannot be opened through /proc: ${message}`,
    !PASSING.includes(code ?? ''),
    { cause: error },
  )
}
