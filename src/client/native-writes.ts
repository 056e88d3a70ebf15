/** What Node keeps in a pending write: the chunk, or all chunks of a vectored write. */
interface WriteRequest {
  readonly buffer?: unknown
  readonly _chunks?: unknown
}

const holds = (chunk: unknown, buffer: ArrayBufferLike): boolean =>
  chunk === buffer || (ArrayBuffer.isView(chunk) && chunk.buffer === buffer)

/**
 * The buffers among `buffers` from which the system is still writing to a socket or a file. Detaching takes a buffer
 * away from JavaScript only: a write that is under way goes on reading the memory itself.
 */
export function beingWritten(buffers: readonly ArrayBuffer[]): ReadonlySet<ArrayBuffer> {
  const pinned = new Set<ArrayBuffer>()
  const { _getActiveRequests: activeRequests } = process as unknown as {
    readonly _getActiveRequests?: () => readonly WriteRequest[]
  }
  for (const { buffer: single, _chunks: chunks } of activeRequests?.call(process) ?? []) {
    for (const buffer of buffers) {
      const inChunks = Array.isArray(chunks) && chunks.some((chunk) => holds(chunk, buffer))
      if (inChunks || holds(single, buffer)) pinned.add(buffer)
    }
  }
  return pinned
}
