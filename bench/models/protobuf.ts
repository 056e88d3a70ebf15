/** Writes messages of Protocol Buffers, as much of it as an ONNX file needs. */
export class Message {
  readonly #parts: Uint8Array[] = []

  /** A whole number that is not negative. */
  int(field: number, value: number): this {
    this.#key(field, 0)
    this.#varint(value)
    return this
  }

  bytes(field: number, value: Uint8Array): this {
    this.#key(field, 2)
    this.#varint(value.length)
    this.#parts.push(value)
    return this
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value))
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.toBytes())
  }

  toBytes(): Uint8Array {
    return Buffer.concat(this.#parts)
  }

  #key(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType)
  }

  #varint(value: number): void {
    const bytes: number[] = []
    let rest = value
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
    bytes.push(rest)
    this.#parts.push(Uint8Array.from(bytes))
  }
}
