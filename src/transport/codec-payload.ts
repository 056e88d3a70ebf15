/** Where a binary value lies in shared memory. */
export interface PayloadReference {
  /** The block's number, an unsigned 32-bit integer. */
  readonly block: number
  /** Bytes from the start of the payloads' memory; a multiple of the value's element size. */
  readonly offset: number
  /** Bytes. */
  readonly length: number
}

/** Gives large binary values a place in shared memory. */
export interface PayloadPlacer {
  /**
   * Called once for each binary value of at least `payloadThreshold` bytes, in field order. Copies
   * the value to shared memory, unless it lies there already, and says where; `undefined` keeps it
   * inline. What it throws, `encode` throws as it is.
   */
  place(value: ArrayBuffer | ArrayBufferView): PayloadReference | undefined
}

/** Finds payloads again. */
export interface PayloadOpener {
  /**
   * Called once for each reference. Gives the ArrayBuffer in which the payload lies, and where in
   * it. The place comes from shared memory: check it. What it throws, `decodeInto` throws as it is.
   */
  open(
    block: number,
    offset: number,
    length: number,
  ): { readonly buffer: ArrayBuffer; readonly byteOffset: number }
}
