const PAGE_BYTES = 4096
const CHUNK_BYTES = 64 * 1024

/** What a body is made of, again and again: its sender needs no more memory than this. */
export const chunk: Uint8Array = Uint8Array.from({ length: CHUNK_BYTES }, (_, index) => {
  return (index * 7 + (index >> 12)) % 251
})

/** The sum of the first bytes of all pages. */
export function sumOfPages(bytes: Uint8Array): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) sum += bytes[at]!
  return sum
}

/** The sum of a body of so many bytes, a multiple of a chunk. */
export const sumOfBody = (bytes: number): number => (bytes / CHUNK_BYTES) * sumOfPages(chunk)
