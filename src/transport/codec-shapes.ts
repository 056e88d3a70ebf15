import {
  maxRememberedShapeBytes,
  maxRememberedShapes,
  maxShapeFields,
  maxShapeNameLength,
} from './codec-format.ts'
import { type Fill, compileFill } from './codec-fill.ts'

/**
 * The writer's view of a shape: a node of a tree in which each edge is a field name, so that
 * walking an object's names leads to its shape without hashing one of them.
 */
export class ShapeNode {
  readonly parent: ShapeNode | undefined
  readonly name: string
  readonly fields: number
  /** The child taken last, so that tasks of one class never look into `children`. */
  nextName: string | undefined = undefined
  next: ShapeNode | undefined = undefined
  children: Map<string, ShapeNode> | undefined = undefined
  /** Whether the tree holds this node; a shape past the limits lives for one object. */
  readonly remembered: boolean
  /** The encoded shape, once an object ended here. */
  words: Int32Array | undefined = undefined
  /** The message that this shape was written into last, and where. */
  message = -1
  offset = 0

  constructor(parent: ShapeNode | undefined, name: string, remembered: boolean) {
    this.parent = parent
    this.name = name
    this.fields = parent === undefined ? 0 : parent.fields + 1
    this.remembered = remembered
  }

  /** The names from the first field to this one. */
  names(): string[] {
    if (this.parent === undefined) return []
    const names: string[] = Array.from({ length: this.fields })
    names[this.fields - 1] = this.name
    for (let node = this.parent; node?.parent !== undefined; node = node.parent)
      names[node.fields - 1] = node.name
    return names
  }
}

/**
 * The shapes that a writer has met. Names may come from a request's JSON, so the tree is bounded:
 * when it is full it starts anew, and the shapes in use come back within a message each.
 */
export class ShapeTree {
  root: ShapeNode = new ShapeNode(undefined, '', true)
  #nodes = 1
  #bytes = 0

  /** How much is remembered, for tests of the bounds. */
  get size(): { readonly shapes: number; readonly bytes: number } {
    return { shapes: this.#nodes, bytes: this.#bytes }
  }

  /** The shape of `node` with one more field. */
  follow(node: ShapeNode, name: string): ShapeNode {
    let next = node.children?.get(name)
    if (next === undefined) {
      if (!node.remembered || node.fields >= maxShapeFields || name.length > maxShapeNameLength)
        return new ShapeNode(node, name, false)
      if (this.#nodes >= maxRememberedShapes) this.clear()
      this.#nodes++
      next = new ShapeNode(node, name, true)
      node.children ??= new Map()
      node.children.set(name, next)
    }
    node.nextName = name
    node.next = next
    return next
  }

  /** Keeps the encoded form of a shape. */
  remember(node: ShapeNode, words: Int32Array): void {
    if (this.#bytes + words.byteLength > maxRememberedShapeBytes) this.clear()
    this.#bytes += words.byteLength
    node.words = words
  }

  clear(): void {
    this.root = new ShapeNode(undefined, '', true)
    this.#nodes = 1
    this.#bytes = 0
  }
}

/** A shape that is met more often is worth to be compiled, unless it has more fields. */
const usesBeforeFill = 200
const mostFilledFields = 64

/** The reader's view of a shape: its names, and the words that it was read from. */
export class Shape {
  readonly words: Int32Array
  readonly names: readonly string[]
  #prototype: object | null | undefined
  #plainlyAssignable = false
  #nameSet: Set<string> | undefined
  #fill: Fill | undefined
  #usesLeft: number

  constructor(words: Int32Array, names: readonly string[]) {
    this.words = words
    this.names = names
    this.#usesLeft = names.length > mostFilledFields ? Infinity : usesBeforeFill
  }

  /** What assigns the fields of a target that they are assignable to, once the shape has been met often. */
  get fill(): Fill | undefined {
    if (this.#usesLeft > 0 && --this.#usesLeft === 0) this.#fill = compileFill(this.names)
    return this.#fill
  }

  /**
   * Whether `target[name] = value` defines a field for every name. Not so where the prototype has
   * an accessor or a read-only property of that name (`__proto__` is one).
   */
  isAssignableTo(target: object): boolean {
    const prototype = Object.getPrototypeOf(target) as object | null
    if (prototype !== this.#prototype) {
      this.#prototype = prototype
      this.#plainlyAssignable = !this.names.some((name) => isReserved(prototype, name))
    }
    return this.#plainlyAssignable
  }

  /** Whether these fields, in this order, are all the enumerable ones that `target` has. */
  isWholeOf(target: object): boolean {
    const { names } = this
    let index = 0
    for (const name in target) if (name !== names[index++]) return false
    return index === names.length
  }

  /** Deletes the own enumerable fields of `target` that are none of the shape's. */
  prune(target: object): void {
    this.#nameSet ??= new Set(this.names)
    for (const name of Object.keys(target))
      if (!this.#nameSet.has(name)) delete (target as Record<string, unknown>)[name]
  }
}

function isReserved(prototype: object | null, name: string): boolean {
  for (let holder = prototype; holder; holder = Object.getPrototypeOf(holder) as object | null) {
    const property = Object.getOwnPropertyDescriptor(holder, name)
    if (property) return property.writable !== true
  }
  return false
}

/** The shapes that a reader has met, by hash. Bounded as the writer's are. */
export class ShapeCache {
  #shapes = new Map<number, Shape>()
  #bytes = 0

  get size(): { readonly shapes: number; readonly bytes: number } {
    return { shapes: this.#shapes.size, bytes: this.#bytes }
  }

  get(hash: number): Shape | undefined {
    return this.#shapes.get(hash)
  }

  remember(hash: number, shape: Shape): void {
    const bytes = shape.words.byteLength
    if (shape.names.length > maxShapeFields || bytes > maxRememberedShapeBytes / 16) return
    if (this.#shapes.size >= maxRememberedShapes || this.#bytes + bytes > maxRememberedShapeBytes)
      this.clear()
    this.#bytes += bytes - (this.#shapes.get(hash)?.words.byteLength ?? 0)
    this.#shapes.set(hash, shape)
  }

  clear(): void {
    this.#shapes = new Map()
    this.#bytes = 0
  }
}
