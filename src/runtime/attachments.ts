import { type Server, type Socket, createServer } from 'node:net'
import { StartError } from '../errors.ts'
import { BellReader } from '../transport/bell-reader.ts'
import { type Control, LAYOUT_VERSION } from '../transport/control.ts'
import { Descriptors } from '../transport/descriptors.ts'
import {
  type ClientMessage,
  type FlowMessage,
  type Welcome,
  peerOf,
  readFrames,
  sendFrame,
  socketPath,
} from '../transport/handshake.ts'
import { ClientRecovery } from './client-recovery.ts'
import type { FlowMemory } from './memory-files.ts'

/** What every client is told, whatever its number. */
export type WelcomePlan = Pick<
  Welcome,
  'stepNames' | 'conditions' | 'taskClasses' | 'payloadThreshold' | 'spin'
>

export interface AttachmentEvents {
  onAttached(client: number, pid: number): void
  /** The client's process has ended or let go; what it left behind has been taken back. */
  onDetached(client: number, pid: number): void
  /** A client has something pending; it had been asked to say so. */
  onBusy(): void
  /** Somebody asks what the flow does. Returns a function that is called when he has gone. */
  onObserver(observer: Observer): () => void
}

/** Somebody in another process who is told what the flow does. */
export interface Observer {
  readonly pid: number
  /** False: he does not keep up, and was not told. */
  send(message: FlowMessage): boolean
}

/** Bytes that may wait for an observer who does not keep up. */
const MOST_UNSENT = 4 << 20

/** The place of one client. */
interface Seat {
  readonly client: number
  /** Undefined while the place is free, or being cleared. */
  socket: Socket | undefined
  pid: number
  isIdle: boolean
  /** Listens while what the last client left behind is taken back. */
  clearing: BellReader | undefined
}

const isBusy = ({ socket, clearing, isIdle }: Seat): boolean =>
  clearing !== undefined || (socket !== undefined && !isIdle)

/**
 * Lets clients in other processes of the same user attach to the flow, and takes back what they leave behind. Clients
 * that come while the flow is still starting wait for it.
 */
export class Attachments {
  readonly #control: Control
  readonly #memory: FlowMemory
  readonly #plan: WelcomePlan
  readonly #address: string
  readonly #events: AttachmentEvents
  readonly #seats: Seat[]
  readonly #server: Server
  /** All that are connected, whatever they are. */
  readonly #sockets = new Set<Socket>()
  /** Clients that have come while the flow is still starting. */
  readonly #early = new Set<Socket>()
  #state: 'starting' | 'open' | 'closing' = 'starting'
  #onIdle: (() => void) | undefined

  constructor(
    control: Control,
    memory: FlowMemory,
    plan: WelcomePlan,
    address: string,
    events: AttachmentEvents,
  ) {
    this.#control = control
    this.#memory = memory
    this.#plan = plan
    this.#address = address
    this.#events = events
    this.#seats = Array.from({ length: control.shape.clients - 1 }, (_, index) => ({
      client: index + 1, // number 0 is the flow's own
      socket: undefined,
      pid: -1,
      isIdle: false,
      clearing: undefined,
    }))
    this.#server = createServer((socket) => this.#onConnection(socket))
  }

  /** Takes the address. @throws StartError when another flow has it. */
  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => {
        const what =
          error.code === 'EADDRINUSE' ? 'another flow of this user listens there' : error.message
        reject(
          new StartError(`cannot listen at the address '${this.#address}': ${what}`, {
            cause: error,
          }),
        )
      })
      // Exclusive, or in a worker of `node:cluster` the primary would listen in its name.
      this.#server.listen({ path: socketPath(this.#address), exclusive: true }, () => {
        this.#server.on('error', () => undefined) // a connection that could not be accepted
        resolve()
      })
    })
  }

  /** The flow runs: lets in those who wait, and whoever comes. */
  open(): void {
    this.#state = 'open'
    for (const socket of this.#early) this.#seat(socket)
    this.#early.clear()
  }

  /** The flow can do nothing for now: its clients are told, and who comes has to wait. */
  suspend(message: string): void {
    if (this.#state !== 'open') return
    this.#state = 'starting'
    this.#tell({ type: 'suspended', message })
  }

  /** It can again. */
  resume(): void {
    if (this.#state !== 'starting') return
    this.#tell({ type: 'resumed' })
    this.open()
  }

  /** The clients that are attached. */
  clients(): { readonly client: number; readonly pid: number }[] {
    return this.#seats
      .filter(({ socket }) => socket !== undefined)
      .map(({ client, pid }) => ({ client, pid }))
  }

  /** Has every client say when it next has something pending. */
  askBusy(): void {
    this.#tell({ type: 'ask-busy' })
  }

  /** Tells every client that no new tasks are taken, and resolves once none has any pending. */
  drain(): Promise<void> {
    this.#state = 'closing'
    this.#tell({ type: 'stopping' })
    return new Promise((resolve) => {
      this.#onIdle = resolve
      this.#lookIdle()
    })
  }

  /** Lets every client go, with a last word. Nothing is taken back: the flow's memory ends with the flow. */
  close(lastWord: FlowMessage): void {
    this.#state = 'closing'
    this.#tell(lastWord)
    this.#server.close()
    for (const seat of this.#seats) {
      seat.clearing?.close()
      seat.socket = seat.clearing = undefined
    }
    for (const socket of this.#sockets) {
      socket.destroySoon()
      socket.unref() // the last word may never get through to a process that is stopped
    }
  }

  #onConnection(socket: Socket): void {
    socket.on('error', () => socket.destroy())
    // The name of an abstract socket has no permissions: the kernel says who is there.
    if (peerOf(socket)?.uid !== process.getuid?.()) {
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#early.delete(socket)
    })
    readFrames(socket, (message) => this.#onMessage(socket, message as ClientMessage))
  }

  #seat(socket: Socket): void {
    const seat = this.#seats.find((it) => it.socket === undefined && it.clearing === undefined)
    if (this.#state === 'closing' || seat === undefined) {
      const reason =
        seat === undefined
          ? `it has ${this.#seats.length} clients, the most that it admits (\`maxClients\`)`
          : 'it is stopping'
      sendFrame(socket, { type: 'refused', reason })
      socket.end()
      return
    }
    seat.socket = socket
    seat.pid = peerOf(socket)?.pid ?? -1
    seat.isIdle = false
    socket.once('close', () => this.#clear(seat, socket))
    sendFrame(socket, this.#welcome(seat))
    this.#events.onAttached(seat.client, seat.pid)
  }

  #welcome({ client }: Seat): Welcome {
    const { control, payloads, bells } = this.#memory
    return {
      type: 'welcome',
      layout: LAYOUT_VERSION,
      client,
      shape: this.#control.shape,
      memory: {
        controlFd: control.fd,
        controlBytes: control.byteLength,
        payloadFd: payloads.fd,
        payloadBytes: payloads.byteLength,
        ownBell: bells[client]!.read,
        bells: bells.map(({ write }) => write),
      },
      ...this.#plan,
    }
  }

  #onMessage(socket: Socket, message: ClientMessage): void {
    const { type } = message
    const seat = this.#seats.find((it) => it.socket === socket)
    if (type === 'observe' && seat === undefined) this.#observe(socket, message.layout)
    if (type === 'busy' && seat !== undefined) this.#events.onBusy()
    if (type === 'hello' && seat === undefined) {
      if (this.#state === 'starting') this.#early.add(socket)
      else this.#seat(socket)
    }
    if (type === 'idle' && seat !== undefined) {
      seat.isIdle = true
      this.#lookIdle()
    }
  }

  #observe(socket: Socket, layout: number): void {
    if (layout !== LAYOUT_VERSION) {
      sendFrame(socket, { type: 'refused', reason: 'it runs another version of this library' })
      socket.end()
      return
    }
    const stop = this.#events.onObserver({
      pid: peerOf(socket)?.pid ?? -1,
      send: (message) => {
        if (socket.writableLength > MOST_UNSENT) return false
        sendFrame(socket, message)
        return true
      },
    })
    socket.once('close', stop)
  }

  /** The kernel has closed the client's end: it will not touch the memory again. */
  #clear(seat: Seat, socket: Socket): void {
    if (seat.socket !== socket) return // the flow has ended
    seat.socket = undefined
    const recovery = new ClientRecovery(this.#control, seat.client)
    const look = (): void => {
      if (!recovery.look()) return
      seat.clearing?.close()
      seat.clearing = undefined
      this.#events.onDetached(seat.client, seat.pid)
      this.#lookIdle()
    }
    seat.clearing = new BellReader(
      new Descriptors('self').readEnd(this.#memory.bells[seat.client]!.read),
      look,
    )
    look()
  }

  #lookIdle(): void {
    if (this.#onIdle === undefined || this.#seats.some(isBusy)) return
    this.#onIdle()
    this.#onIdle = undefined
  }

  #tell(message: FlowMessage): void {
    for (const { socket } of this.#seats) if (socket !== undefined) sendFrame(socket, message)
  }
}
