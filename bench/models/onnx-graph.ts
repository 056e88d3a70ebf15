import { Message } from './protobuf.ts'

const IR_VERSION = 8
const OPSET = 13
export const FLOAT = 1
export const UINT8 = 2
const [ATTRIBUTE_INT, ATTRIBUTE_INTS] = [2, 7]

/** A graph of ONNX operators, put together one by one. */
export class OnnxGraph {
  readonly #graph = new Message()
  #count = 0

  /** Adds a constant and returns its name. */
  constant(dims: readonly number[], values: Float32Array): string {
    const name = this.#name('constant')
    const tensor = new Message()
    for (const dim of dims) tensor.int(1, dim)
    tensor.int(2, FLOAT).text(8, name).bytes(9, new Uint8Array(values.buffer))
    this.#graph.message(5, tensor)
    return name
  }

  /** Adds an operator and returns the name of its output. */
  node(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, number | readonly number[]>> = {},
    output: string = this.#name(type.toLowerCase()),
  ): string {
    const node = new Message()
    for (const input of inputs) node.text(1, input)
    node.text(2, output).text(4, type)
    for (const [name, value] of Object.entries(attributes)) {
      const attribute = new Message().text(1, name)
      if (typeof value === 'number') attribute.int(3, value).int(20, ATTRIBUTE_INT)
      else {
        for (const each of value) attribute.int(8, each)
        attribute.int(20, ATTRIBUTE_INTS)
      }
      node.message(5, attribute)
    }
    this.#graph.message(1, node)
    return output
  }

  /** The model as a file; its first dimension is the batch, of any size. */
  toFile(
    name: string,
    input: { readonly name: string; readonly type: number; readonly dims: readonly number[] },
    output: { readonly name: string; readonly dims: readonly number[] },
  ): Uint8Array {
    this.#graph.text(2, name)
    this.#graph.message(11, valueInfo(input.name, input.type, input.dims))
    this.#graph.message(12, valueInfo(output.name, FLOAT, output.dims))
    return new Message()
      .int(1, IR_VERSION)
      .message(8, new Message().text(1, '').int(2, OPSET))
      .message(7, this.#graph)
      .toBytes()
  }

  #name(of: string): string {
    return `${of}${this.#count++}`
  }
}

function valueInfo(name: string, type: number, dims: readonly number[]): Message {
  const shape = new Message().message(1, new Message().text(2, 'batch'))
  for (const dim of dims) shape.message(1, new Message().int(1, dim))
  const tensor = new Message().int(1, type).message(2, shape)
  return new Message().text(1, name).message(2, new Message().message(1, tensor))
}
