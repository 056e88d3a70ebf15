import type { Socket } from 'node:net'
import { deserialize, serialize } from 'node:v8'
import { libc } from '../memory/libc.ts'
import type { FlowShape } from './control.ts'

/**
 * How a client in another process attaches to a flow. The flow listens at an abstract Unix socket, which has no file to
 * leak; over it travels only what is said here, never a task. Memory and bells are opened through /proc. The socket's
 * end is the client's end: the kernel closes it, whatever way the process went.
 */
export interface Welcome {
  readonly type: 'welcome'
  /** Version of the memory layout. */
  readonly layout: number
  /** Number of the client, which is its actor too. */
  readonly client: number
  readonly shape: FlowShape
  /** Descriptors of the flow's process. */
  readonly memory: {
    readonly controlFd: number
    readonly controlBytes: number
    readonly payloadFd: number
    readonly payloadBytes: number
    /** Read end of the client's bell. */
    readonly ownBell: number
    /** Write ends of all bells, by actor. */
    readonly bells: readonly number[]
  }
  readonly stepNames: readonly string[]
  readonly conditions: readonly (string | undefined)[]
  /** Names of the classes of tasks, by their numbers. */
  readonly taskClasses: readonly string[]
  readonly payloadThreshold: number
  /** Milliseconds. */
  readonly spin: number
}

/** What a flow says to its clients. */
export type FlowMessage =
  | Welcome
  /** The client is to say once, as soon as it has something pending. */
  | { readonly type: 'ask-busy' }
  /** What an observer is told; see watch/view.ts. Old samples come in parts, the last of which says so. */
  | { readonly type: 'history'; readonly samples: readonly unknown[]; readonly isLast: boolean }
  | { readonly type: 'sample'; readonly sample: unknown; readonly view: unknown }
  /** No place is free, or the flow is stopping. */
  | { readonly type: 'refused'; readonly reason: string }
  /** No new tasks; what is admitted is being finished. */
  | { readonly type: 'stopping' }
  /** The last worker has ended. */
  | { readonly type: 'stopped' }
  | { readonly type: 'failed'; readonly message: string }
  /** It can do nothing for now: what is pending fails, and nothing is taken until `resumed`. */
  | { readonly type: 'suspended'; readonly message: string }
  | { readonly type: 'resumed' }

/** What a client says to its flow. */
export type ClientMessage =
  /** Asks for a place. Who connects and says anything else gets none. */
  | { readonly type: 'hello' }
  /** Asks to be told what the flow does. Needs no place. */
  | { readonly type: 'observe'; readonly layout: number }
  /** The client has nothing pending; said after `stopping`. */
  | { readonly type: 'idle' }
  /** It has something pending; said after `ask-busy`. */
  | { readonly type: 'busy' }

/** Where a flow listens: names of different users do not meet. */
export const socketPath = (address: string): string =>
  `\0aqueduct-ts/${process.getuid?.() ?? 0}/${address}`

const HEADER_BYTES = 4
/** A frame that says it is longer is no frame. */
const MAX_FRAME_BYTES = 1 << 20

export function sendFrame(socket: Socket, message: FlowMessage | ClientMessage): void {
  if (!socket.writable) return
  const body = serialize(message)
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32LE(body.length)
  socket.write(Buffer.concat([header, body]))
}

/**
 * Calls `onMessage` with each message that arrives. A peer that sends anything else is not listened to any more; it is
 * not cut off, since its end of the socket is what says that it still uses the memory.
 */
export function readFrames(socket: Socket, onMessage: (message: object) => void): void {
  let received = Buffer.alloc(0)
  let isBroken = false
  socket.on('data', (chunk: Buffer) => {
    if (isBroken) return
    received = Buffer.concat([received, chunk])
    while (received.length >= HEADER_BYTES && !isBroken) {
      const end = HEADER_BYTES + received.readUInt32LE()
      if (end <= MAX_FRAME_BYTES && received.length < end) return
      const message =
        end > MAX_FRAME_BYTES ? undefined : parse(received.subarray(HEADER_BYTES, end))
      isBroken = message === undefined
      received = isBroken ? Buffer.alloc(0) : received.subarray(end)
      if (message !== undefined) onMessage(message)
    }
  })
}

/** What a frame holds, if that is a message. */
function parse(body: Buffer): object | undefined {
  try {
    const message: unknown = deserialize(body)
    return typeof message === 'object' && message !== null ? message : undefined
  } catch {
    return undefined
  }
}

const SOL_SOCKET = 1
const SO_PEERCRED = 17

/** Who is at the other end of a Unix socket, as the kernel knows; undefined when it has gone. */
export function peerOf(socket: Socket): { readonly pid: number; readonly uid: number } | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } }
  const fd = handle?.fd
  if (fd === undefined || fd < 0) return undefined
  const credentials = [0, 0, 0]
  if (libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, [12]) !== 0) return undefined
  const [pid = 0, uid = -1] = credentials
  return { pid, uid }
}
